package users_test

import (
	"testing"
)

// TestConcurrentlyReusedBackupCodeCostsNoAttempt: the code signs in once, and all attempts are
// left.
func TestConcurrentlyReusedBackupCodeCostsNoAttempt(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	for _, code := range app.backup[:3] {
		var temps []string
		for range 7 {
			temps = append(temps, h.challenge(me))
		}
		signedIn := h.countConcurrent(2*len(temps), func(i int) bool { // each temporary token twice
			a := h.verify(temps[i%len(temps)], code)
			if a.code == "INVALID_OTP_CODE" && a.field("attempts_remaining") != 5.0 || a.status != 200 && a.status != 401 {
				t.Errorf("sent again: got %d %s, want all attempts left", a.status, a.body)
			}
			return a.status == 200
		})
		if signedIn != 1 {
			t.Errorf("one backup code signed in %d times, want once", signedIn)
		}
	}
	if a := h.verify(h.challenge(me), app.backup[0]).want(401, "INVALID_OTP_CODE",
		""); a.field("attempts_remaining") != 5.0 {
		t.Errorf("sent again later: got %s, want all attempts left", a.body)
	}
	h.verify(h.challenge(me), app.backup[3]).mustStatus(200)
	// After new codes the old ones count as guesses.
	body := map[string]any{"password": password, "code": app.code()}
	h.do(me.identity, "POST", factorPath+"/backup-codes/regenerate", body).mustStatus(200)
	if a := h.verify(h.challenge(me), app.backup[0]).want(401, "INVALID_OTP_CODE",
		""); a.field("attempts_remaining") != 4.0 {
		t.Errorf("a code of before: got %s, want an attempt less", a.body)
	}
}
