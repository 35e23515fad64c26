// Package ascii provides the comparison of protocol tokens, such as header names, schemes and
// hosts. Start reading at EqualFold.
package ascii

// EqualFold reports whether two tokens are equal without regard to the case of A–Z. The functions
// of this name in strings and bytes fold by Unicode: for them the Kelvin sign is a k and ſ an s, so
// they accept spellings of "chunked" or "https" that other implementations do not.
func EqualFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// Lower returns s with A–Z in lower case and all other characters unchanged.
func Lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
