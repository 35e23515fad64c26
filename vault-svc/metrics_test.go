package vault

import (
	"strings"
	"testing"
)

// TestWhatIsReadOrWrittenCountsOnce: the panel "Operations per statement" divides the two, so a
// large value that is read, which takes a look and a statement of its own, is one operation of two
// statements. (The look at the quota before a large write is not counted.)
func TestWhatIsReadOrWrittenCountsOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := user()
	counted := func(after, what string, operations, statements float64) {
		t.Helper()
		got, by := s.metric("vault_"+what+"s_total"), s.metric("vault_"+what+"_statements_total")
		if got != operations || by != statements {
			t.Errorf("after %s: %v %ss by %v statements, want %v by %v", after, got, what, by, operations, statements)
		}
	}
	s.put(u, "small", "", "v")
	counted("a small value", "write", 1, 1)
	s.put(u, "large", "", strings.Repeat("v", smallBody+1))
	counted("a large value", "write", 2, 2)
	s.call(u, "GET", "/api/v1/vault/keys/small", nil)
	counted("a small value", "read", 1, 1)
	s.call(u, "GET", "/api/v1/vault/keys/large", nil)
	counted("a large value", "read", 2, 3)
	s.call(u, "GET", "/api/v1/vault/keys/none", nil)
	counted("a key that is not there", "read", 3, 4)
	s.call(user(), "GET", "/api/v1/vault/keys/none", nil)
	counted("somebody without a vault, for whom no item is looked up", "read", 3, 4)
}
