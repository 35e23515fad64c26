package users_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCodeWorksOnce(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	other := h.startReplica()
	for name, next := range map[string]func() string{"a code": app.code,
		"a backup code": func() string { return app.backup[3] }} {
		code := next()
		temps := []string{h.challenge(me), h.challenge(me), h.challenge(me), h.challenge(me)}
		var wait sync.WaitGroup
		status := make([]int, len(temps))
		for i := range temps {
			url := []string{h.baseURL, other}[i%2]
			wait.Go(func() {
				status[i] = h.doAt(url, anonymous, "POST", factorPath+"/verify",
					map[string]any{"temp_token": temps[i], "code": code}).status
			})
		}
		wait.Wait()
		slices.Sort(status)
		if fmt.Sprint(status) != "[200 401 401 401]" {
			t.Errorf("%s by four at once: got %v, want one 200", name, status)
		}
		h.verify(h.challenge(me), app.code()).mustStatus(200) // a correct code resets the count
	}
	// A code older than the last used one is refused, though it is in the window of time.
	earlier := app.code()
	h.verify(h.challenge(me), app.code()).mustStatus(200)
	h.verify(h.challenge(me), earlier).want(401, "INVALID_OTP_CODE", "")
}

// TestReusedCodeCostsNoAttempt: a client that submits twice must not lock its user out.
func TestReusedCodeCostsNoAttempt(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.setupTwoFactor(me)
	code := app.code()
	var wait sync.WaitGroup
	answers := make([]*response, 8)
	for i := range answers {
		wait.Go(func() {
			answers[i] = h.do(me.identity, "POST", factorPath+"/verify-setup", map[string]any{"code": code})
		})
	}
	wait.Wait()
	enabled := 0
	for _, a := range answers {
		if a.status == 200 {
			enabled++
			h.adoptSession(&me, a)
		} else if a.code == "INVALID_OTP_CODE" && a.field("attempts_remaining") != 5.0 {
			t.Errorf("sent again while it enables the factor: got %s", a.body)
		}
	}
	if enabled != 1 {
		t.Errorf("%d requests enabled the factor with one code, want 1", enabled)
	}
	temp := h.challenge(me)
	for range 6 {
		if a := h.verify(temp, code).want(401, "INVALID_OTP_CODE", ""); a.field("attempts_remaining") != 5.0 {
			t.Fatalf("sent again: got %s, want all attempts left", a.body)
		}
	}
	h.verify(temp, app.code()).mustStatus(200)
}

func TestBackupCodeIsNormalized(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	written := strings.ToUpper(app.backup[0][:5]) + "-" + app.backup[0][5:]
	h.verify(h.challenge(me), written).mustStatus(200)
	h.verify(h.challenge(me), app.backup[0]).want(401, "INVALID_OTP_CODE", "")
	if s := h.do(me.identity, "GET", factorPath+"/status", nil).mustStatus(200); s.field("backup_codes_remaining") != 9.0 {
		t.Errorf("got %s, want nine left", s.body)
	}
}

func TestFiveWrongCodesLockSecondFactor(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	temp, wrong := h.challenge(me), app.wrong()
	var wait sync.WaitGroup
	got := make([]string, 20)
	for i := range got {
		wait.Go(func() {
			a := h.verify(temp, wrong)
			got[i] = fmt.Sprint(a.code, a.field("attempts_remaining"))
		})
	}
	wait.Wait()
	slices.Sort(got)
	want := []string{"INVALID_OTP_CODE0", "INVALID_OTP_CODE1", "INVALID_OTP_CODE2", "INVALID_OTP_CODE3",
		"INVALID_OTP_CODE4", "TWOFACTOR_RATE_LIMIT<nil>"}
	if !slices.Equal(slices.Compact(got), want) || got[5] != want[5] {
		t.Errorf("twenty wrong codes: got %v, want five tries and a lock", got)
	}
	a := h.verify(temp, app.code()).want(429, "TWOFACTOR_RATE_LIMIT", "Too many invalid codes")
	if retry := a.header.Get("Retry-After"); len(retry) != 3 {
		t.Errorf("Retry-After: got %s, want about 870 seconds", retry)
	}
	h.do(me.identity, "DELETE", factorPath, map[string]any{"password": password, "code": app.now()}).want(429,
		"TWOFACTOR_RATE_LIMIT", "")
	h.clock.forward(15 * time.Minute)
	h.verify(h.challenge(me), app.wrong()).want(401, "INVALID_OTP_CODE", "")
	h.verify(h.challenge(me), app.code()).mustStatus(200)
}

func TestBackupCodesAreRegenerated(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	path := factorPath + "/backup-codes/regenerate"
	h.do(me.identity, "POST", path, map[string]any{"password": password, "code": "123456"}).want(409,
		"TWOFACTOR_NOT_ENABLED", "")
	app := h.enableTwoFactor(&me)
	h.do(me.identity, "POST", path, map[string]any{"password": "Wrong-horse-22", "code": app.code()}).want(400,
		"CURRENT_PASSWORD_INCORRECT", "")
	a := h.do(me.identity, "POST", path, map[string]any{"password": password, "code": app.backup[0]}).want(200, "",
		"Backup codes regenerated successfully")
	fresh := a.field("backup_codes").([]any)
	if len(fresh) != 10 || slices.Contains(app.backup, fresh[0].(string)) {
		t.Errorf("got %v, want ten new ones", fresh)
	}
	h.verify(h.challenge(me), app.backup[1]).want(401, "INVALID_OTP_CODE", "")
	h.verify(h.challenge(me), fresh[9].(string)).mustStatus(200)
}
