package testkit

import "strings"

// RawPasswords are passwords with characters that have a meaning in a URL, not percent-encoded, as
// an operator may paste them. The parts on both sides of the character are in secretParts.
func RawPasswords() []string {
	var out []string
	for _, left := range secretParts[:2] {
		for _, char := range "@/?#:%,&= \\[];+\"'<>^|`{}~!$*()\t" {
			out = append(out, left+string(char)+secretParts[2], left+string(char)+secretParts[2]+"@9")
		}
	}
	return out
}

// secretParts are the parts of RawPasswords; the second could be a port.
var secretParts = [...]string{"Hunter2", "27182", "SecretTail99"}

// Leaks reports whether text contains a part of one of RawPasswords.
func Leaks(text string) bool {
	for _, part := range secretParts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
