package passwords

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

//go:embed common_passwords.txt
var commonPasswords string

// Policy refuses passwords that are guessed first, on top of CheckStrength. Its zero value
// refuses none.
type Policy struct {
	enabled     bool
	common      []string // sorted; in the form that plainCores returns
	productName string   // the product's name
}

func NewPolicy(enabled bool, productName string) Policy {
	if !enabled {
		return Policy{}
	}
	policy := Policy{enabled: true, productName: productName}
	for line := range strings.Lines(commonPasswords) {
		if !strings.HasPrefix(line, "#") {
			policy.common = append(policy.common, strings.TrimSuffix(line, "\n"))
		}
	}
	return policy
}

const (
	// minUnrelatedLetters must be in a password besides names of the user and the product.
	minUnrelatedLetters = 5
	// maxBesideRuns characters beside runs of neighbours on the keyboard do not make a password
	// good.
	maxOutsideRuns = 3
	minRunLength   = 3
	// maxRepeats of anything make a password that is guessed like one of them.
	minRepetitions = 3
)

// Check returns 400 WEAK_PASSWORD for what attackers try first, whatever case it is in: a common
// password or a single word with digits, a year or symbols around it or with the usual digits for
// letters; runs of neighbouring keys; and little more than one of own, the user's address and
// names, or the product's name.
func (p Policy) Check(password string, identifiers ...string) error {
	if err := CheckStrength(password); err != nil || !p.enabled {
		return err
	}
	folded := foldText(password)
	if consistsOfRuns(folded, maxOutsideRuns) || consistsOfRuns(unshift.Replace(folded), maxOutsideRuns) {
		return errCommonPassword()
	}
	cores := coreWords(folded)
	for _, core := range cores {
		word, times := repeatedUnit(core)
		if p.isCommon(core) || p.isCommon(word) || times >= minRepetitions || consistsOfRuns(core, 0) {
			return errCommonPassword()
		}
	}
	if mostlyIdentifier(cores, identifierWords(append(identifiers, p.productName))) {
		return errCommonPassword()
	}
	return nil
}

func (p Policy) isCommon(word string) bool {
	_, found := slices.BinarySearch(p.common, word)
	return found
}

// plainText returns text in lower case, with plain letters for those with accents, for comparison.
func foldText(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Mn, c) {
			return -1
		}
		return unicode.ToLower(c)
	}, norm.NFKD.String(text))
}

// What people write for a letter. The digit 1 and the exclamation mark stand for two.
var (
	substitutes = []string{"@", "a", "4", "a", "8", "b", "3", "e", "6", "g", "9", "g", "0", "o", "$", "s", "5", "s", "7",
		"t", "+", "t", "2", "z"}
	withI   = strings.NewReplacer(append(substitutes, "1", "i", "!", "i", "|", "i")...)
	withL   = strings.NewReplacer(append(substitutes, "1", "l", "!", "l", "|", "l")...)
	unshift = strings.NewReplacer("!", "1", "@", "2", "#", "3", "$", "4", "%", "5", "^", "6", "&", "7", "*", "8",
		"(", "9", ")", "0")
	keyboardLines = []string{
		"abcdefghijklmnopqrstuvwxyz", "12345678901234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm",
		"azertyuiop", "qsdfghjklm", "wxcvbn", "1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol",
	}
)

func notLetter(c rune) bool { return !unicode.IsLetter(c) }

func notLetterOrDigit(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }

// squeeze removes what is neither a letter nor a digit.
func lettersAndDigits(text string) string {
	return strings.Map(func(c rune) rune {
		if notLetterOrDigit(c) {
			return -1
		}
		return c
	}, text)
}

// plainCores returns what is left of plain without digits and symbols around it and symbols in
// between, as it stands and with letters for the digits that stand for some. Where the word ends is
// tried behind each character from its last letter on, because "welc0m3-2024" ends in a digit.
func coreWords(folded string) []string {
	cores := []string{lettersAndDigits(folded)}
	end := strings.LastIndexFunc(folded, unicode.IsLetter)
	for cut := end; cut >= 0 && cut <= len(folded); cut++ {
		if cut < len(folded) && !utf8.RuneStart(folded[cut]) || cut == end {
			continue
		}
		head := folded[:cut]
		cores = append(cores, trimToLetters(head))
		for _, letters := range []*strings.Replacer{withI, withL} {
			cores = append(cores, trimToLetters(letters.Replace(head)), // "$unshine"
				trimToLetters(letters.Replace(strings.TrimLeftFunc(head, notLetter))), // "2024welc0m3"
				trimToLetters(letters.Replace(lettersAndDigits(head))))                // "passw0rd!passw0rd"
		}
	}
	slices.Sort(cores)
	return slices.Compact(cores)
}

// trimmed returns the letters and digits of text from its first letter to its last.
func trimToLetters(text string) string { return strings.TrimFunc(lettersAndDigits(text), notLetter) }

// repeated returns what text is a repetition of, with whatever digits between, and how often:
// "pass1pass2" is "pass" twice. "" when it is none.
func repeatedUnit(text string) (unit string, times int) {
	words := strings.FieldsFunc(text, notLetter)
	letters := strings.Join(words, "")
	for size := 1; size <= len(letters)/2; size++ {
		if len(letters)%size == 0 && strings.Repeat(letters[:size], len(letters)/size) == letters {
			return letters[:size], len(letters) / size
		}
	}
	return "", 0
}

// mostlyRuns reports whether text is made of runs of one character, of the alphabet, of digits or
// of neighbouring keys, either way, with at most some characters beside.
func consistsOfRuns(text string, beside int) bool {
	for text != "" {
		n := runLength(text)
		if n < minRunLength {
			_, n = utf8.DecodeRuneInString(text)
			if beside--; beside < 0 {
				return false
			}
		}
		text = text[n:]
	}
	return true
}

// runLength returns the bytes of the longest run that text begins with. Runs are ASCII.
func runLength(text string) int {
	longest := 1
	for longest < len(text) && text[longest] == text[0] {
		longest++
	}
	for _, line := range keyboardLines {
		at := strings.IndexByte(line, text[0])
		if at < 0 {
			continue
		}
		for _, step := range []int{1, -1} {
			n := 1
			for n < len(text) && at+n*step >= 0 && at+n*step < len(line) && line[at+n*step] == text[n] {
				n++
			}
			longest = max(longest, n)
		}
	}
	return longest
}

// namesIn returns the words of names that a password should not consist of, the longest first: each
// name, the parts of an address, and words of four letters and more in them.
func identifierWords(names []string) []string {
	var words []string
	add := func(name string, minLetters int) {
		if name = trimToLetters(name); utf8.RuneCountInString(name) >= minLetters {
			words = append(words, name)
		}
	}
	for _, name := range names {
		name = foldText(name)
		local, domain, isAddress := strings.Cut(name, "@")
		add(local, 3)
		for _, word := range strings.FieldsFunc(local, notLetterOrDigit) {
			add(word, 4)
		}
		labels := strings.Split(domain, ".")
		for _, label := range labels[:len(labels)-1] { // the last is com or the like
			add(label, 4)
		}
		if isAddress {
			add(name, 3)
		}
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	return words
}

// littleMore reports whether one of the cores of a password has a name in it and not much besides.
func mostlyIdentifier(cores, words []string) bool {
	for _, core := range cores {
		rest := core
		for _, word := range words {
			rest = strings.ReplaceAll(rest, word, "")
		}
		letters := 0
		for _, c := range rest {
			if unicode.IsLetter(c) {
				letters++
			}
		}
		if rest != core && letters < minUnrelatedLetters {
			return true
		}
	}
	return false
}
