package gateway

import (
	"os"
	"strings"
	"testing"
)

// published reads the list of operations that the OpenAPI document's own test holds it against.
func published(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("openapi/render/testdata/contract_routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aé", 2, "a"}, {"é", 1, ""}, {"a\xffb", 10, "a\uFFFDb"},
		{"\U0001F600", 3, ""}, {"x\U0001F600", 5, "x\U0001F600"}} {
		if got := text([]byte(c.in), c.max); got != c.want {
			t.Errorf("%q at %d: %q, want %q", c.in, c.max, got, c.want)
		}
	}
}
