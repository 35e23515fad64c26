package ascii

import "testing"

func TestOnlyLettersOfASCIIAreFolded(t *testing.T) {
	t.Parallel()
	if got := Lower("AZ-az \u212a\u0130"); got != "az-az \u212a\u0130" {
		t.Errorf("Lower: %q", got)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"chunked", "CHUNKed", true},
		{"a-Z09", "A-z09", true},
		{"chunked", "chun\u212aed", false},
		{"https", "http\u017f", false},
		{"i", "\u0130", false},
		{"\u00e9", "\u00c9", false},
		{"@", "`", false},
		{"[", "{", false},
		{"ab", "abc", false},
	} {
		if got := EqualFold(c.a, []byte(c.b)); got != c.want {
			t.Errorf("EqualFold(%q, %q) is %v", c.a, c.b, got)
		}
		if got := EqualFold([]byte(c.b), c.a); got != c.want {
			t.Errorf("EqualFold(%q, %q) is %v", c.b, c.a, got)
		}
	}
}
