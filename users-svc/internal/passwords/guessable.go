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

// Policy refuses passwords that attackers try first, in addition to CheckStrength. The zero value
// only applies CheckStrength.
type Policy struct {
	enabled     bool
	common      []string // sorted, in the form that coreWords returns
	productName string
}

// NewPolicy returns the policy, or its zero value unless enabled.
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
	// minUnrelatedLetters is the least letters besides the identifiers of the user and the
	// product's name.
	minUnrelatedLetters = 5
	// maxOutsideRuns is the most characters outside of keyboard runs with which a password is still
	// refused as runs.
	maxOutsideRuns = 3
	minRunLength   = 3
	// minRepetitions is the least repetitions of one text with which a password is refused.
	minRepetitions = 3
)

// Check returns 400 WEAK_PASSWORD for a password that breaks CheckStrength or that attackers try
// first, in any case: a common password or word, also with digits, a year or symbols around it or
// with digits for letters; runs of neighbouring keys; and little more than an identifier of the
// user (address or name) or the product's name.
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

// isCommon reports whether the word is in the list of common passwords.
func (p Policy) isCommon(word string) bool {
	_, found := slices.BinarySearch(p.common, word)
	return found
}

// foldText returns text in lower case and without accents, for comparison.
func foldText(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.Is(unicode.Mn, c) {
			return -1
		}
		return unicode.ToLower(c)
	}, norm.NFKD.String(text))
}

var (
	// substitutes lists the usual characters for letters, with their letters. The characters 1, !
	// and | stand for i or l, so there are two replacers.
	substitutes = []string{"@", "a", "4", "a", "8", "b", "3", "e", "6", "g", "9", "g", "0", "o", "$", "s",
		"5", "s", "7", "t", "+", "t", "2", "z"}
	withI = strings.NewReplacer(append(substitutes, "1", "i", "!", "i", "|", "i")...)
	withL = strings.NewReplacer(append(substitutes, "1", "l", "!", "l", "|", "l")...)
	// unshift replaces the symbols on digit keys of a US keyboard by their digits.
	unshift = strings.NewReplacer("!", "1", "@", "2", "#", "3", "$", "4", "%", "5", "^", "6", "&", "7", "*", "8",
		"(", "9", ")", "0")
	// keyboardLines lists the sequences in which runs are looked for: the alphabet, the digits, and
	// the rows and columns of keyboards.
	keyboardLines = []string{
		"abcdefghijklmnopqrstuvwxyz", "12345678901234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm",
		"qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn",
		"7ujm", "8ik", "9ol",
	}
)

func notLetter(c rune) bool { return !unicode.IsLetter(c) }

func notLetterOrDigit(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }

// lettersAndDigits returns text without other characters.
func lettersAndDigits(text string) string {
	return strings.Map(func(c rune) rune {
		if notLetterOrDigit(c) {
			return -1
		}
		return c
	}, text)
}

// coreWords returns the words that a folded password may be built on: the password without digits
// and symbols around it and without symbols in it, as written and with letters for their
// substitutes. It tries every end from the last letter on, because the word of "welc0m3-2024" ends
// with a digit.
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

// trimToLetters returns the letters and digits of text from its first letter to its last.
func trimToLetters(text string) string { return strings.TrimFunc(lettersAndDigits(text), notLetter) }

// repeatedUnit returns the shortest text of which the letters of text are a repetition, and how
// often, ignoring digits: "pass1pass2" is "pass" twice. It returns "" when there is no repetition.
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

// consistsOfRuns reports whether text consists of runs, forwards or backwards, and at most
// maxOutside other characters. A run repeats one character or follows one of keyboardLines.
func consistsOfRuns(text string, maxOutside int) bool {
	for text != "" {
		n := runLength(text)
		if n < minRunLength {
			_, n = utf8.DecodeRuneInString(text)
			if maxOutside--; maxOutside < 0 {
				return false
			}
		}
		text = text[n:]
	}
	return true
}

// runLength returns the length in bytes of the longest run at the start of text. Runs are ASCII.
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

// identifierWords returns the words of identifiers of which a password must not mostly consist,
// longest first: the identifiers themselves, the parts of addresses, and the words of at least four
// letters in them.
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
		for _, label := range labels[:len(labels)-1] { // without the top-level domain
			add(label, 4)
		}
		if isAddress {
			add(name, 3)
		}
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	return words
}

// mostlyIdentifier reports whether one of the core words of a password contains an identifier and
// fewer than minUnrelatedLetters other letters.
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
