package users_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestTokenAddressListIsBounded(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	list := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf("10.0.%d.%d", i>>8, i&255)
		}
		return out
	}
	for _, form := range []any{strings.Join(list(200), ", ,"), list(200)} {
		a := h.do(me.identity, "POST", tokens, map[string]any{"ip_whitelist": form}).mustStatus(201)
		if got := len(a.field("ip_whitelist").([]any)); got != 200 {
			t.Errorf("%d entries, want 200", got)
		}
	}
	for name, form := range map[string]any{
		"a string of one more": strings.Join(list(201), ","), "an array of one more": list(201),
		"a string of many": strings.Join(list(40_000), ","), "nonsense after the bound": strings.Join(list(200), ",") + ",x",
		"one address many times": strings.Repeat("10.0.0.1,", 201),
	} {
		a := h.do(me.identity, "POST", tokens, map[string]any{"ip_whitelist": form}).want(400, "VALIDATION_ERROR", "")
		if !strings.Contains(string(a.body), `"instancePath":"/ip_whitelist","message":"must have at most 200 entries"`) {
			t.Errorf("%s: %.300s", name, a.body)
		}
	}
}
