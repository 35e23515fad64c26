package passwords

import (
	"strings"
	"testing"
)

func TestAPasswordOfAnyLengthIsRefusedBeforeItIsComposed(t *testing.T) {
	long := strings.Repeat("e\u0301Z9-", 10_000)
	if n := testing.AllocsPerRun(1, func() {
		if CheckStrength(long) == nil {
			t.Error("a password of 50,000 characters is taken")
		}
	}); n > 5 {
		t.Errorf("%v allocations to refuse it", n)
	}
	// The longest password that may be given, in the longest of its spellings.
	widest := strings.Repeat("\u1fa6", 125) + "a9-"
	if err := CheckStrength(strings.ReplaceAll(widest, "\u1fa6", "\u03c9\u0313\u0342\u0345")); err != nil {
		t.Errorf("128 characters in form D: %v", err)
	}
}
