package testkit

import "strings"

// RawPasswords are passwords with characters that mean something in a URL, as an operator pastes
// them: not percent-encoded. The parts on both sides of the character are in secretParts.
func RawPasswords() []string {
	var out []string
	for _, left := range secretParts[:2] {
		for _, char := range "@/?#:%,&= \\[];+\"'<>^|`{}~!$*()\t" {
			out = append(out, left+string(char)+secretParts[2], left+string(char)+secretParts[2]+"@9")
		}
	}
	return out
}

// secretParts: the second could be a port.
var secretParts = [...]string{"Hunter2", "27182", "SecretTail99"}

// Leaks reports whether text has a part of one of RawPasswords in it.
func Leaks(text string) bool {
	for _, part := range secretParts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
