package mailaddr

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func onlyASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// FuzzEmailKey: a key is the key of itself, belongs to no address of other letters, and is where
// accounts are looked for.
func FuzzEmailKey(f *testing.F) {
	for _, seed := range []string{
		"a@b.example", "A.B+c@EXAMPLE.com", "\u212ax@example.com", "\u0130@example.com", "\u017f@x.example",
		"ju\u0308rgen@exa\u0308mple.com", "ΝΙΚΟΣ@νικος.gr", "straße@faß.example", "x@xn--exmple-cua.com",
		"\u1fef\u037e@x.example", "\u0345@x.example", "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example",
		"\u01c5\u1e9b\u0323@x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := Parse(s)
		keys := KeysOf(s)
		if len(keys.All) == 0 || keys.Primary == "" && s != "" {
			t.Fatalf("%+q: looked for under %+q", s, keys)
		}
		if err != nil {
			return
		}
		local, domain, _ := strings.Cut(s, "@")
		keyLocal, _, _ := strings.Cut(m.Key, "@")
		_, asciiDomain, _ := strings.Cut(m.Deliver, "@")
		if onlyASCII(keyLocal) != onlyASCII(local) || !onlyASCII(asciiDomain) || onlyASCII(local) &&
			!strings.EqualFold(local, keyLocal) {
			t.Errorf("%+q has the key %+q and is sent to %+q", s, m.Key, m.Deliver)
		}
		for _, same := range []string{
			m.Key, m.Deliver, keyLocal + "@" + asciiDomain, local + "@" + asciiDomain, asciiUpper(local) + "@" + domain,
		} {
			if again, err := Parse(same); err != nil || again.Key != m.Key {
				t.Errorf("%+q has the key %+q; written %+q it has %+q (%v)", s, m.Key, same, again.Key, err)
			}
		}
		if !slices.Contains(keys.All, m.Key) || keys.Primary != m.Key {
			t.Errorf("%+q with the key %+q is looked for under %+q", s, m.Key, keys)
		}
	})
}

func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}
