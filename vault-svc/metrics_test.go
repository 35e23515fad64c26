package vault

import (
	"strings"
	"testing"
)

// TestMetricsCountEachReadAndWriteOnce compares operations with statements, because the panel
// "Operations per statement" divides the two. A read of a large value is one operation with two
// statements: the first finds its size, the second reads it. The check of the quota before a large
// write is not counted.
func TestMetricsCountEachReadAndWriteOnce(t *testing.T) {
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
	counted("a missing key", "read", 3, 4)
	s.call(user(), "GET", "/api/v1/vault/keys/none", nil)
	counted("a user without a data key, for whom no item is looked up", "read", 3, 4)
}
