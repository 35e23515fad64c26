package users_test

import (
	"strings"
	"testing"
)

func TestAdminPasswordCommand(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root, ann := h.admin(), h.signUp()
	out, err := h.command("admin password")
	_, generated, found := strings.Cut(out, "password: ")
	if err != nil || !found || !strings.Contains(out, adminEmail) {
		t.Fatalf("without flags: got %q, %v; want the password of the only admin", out, err)
	}
	if h.alive(root) {
		t.Error("the admin's old session is alive")
	}
	h.tryLogin("192.0.2.1", adminEmail, password).want(401, "INVALID_CREDENTIALS", "")
	h.signIn(adminEmail, strings.TrimSpace(generated))
	file := writeFile(t, "password", "Another-horse-2\n")
	out, err = h.command("admin password", "-email", strings.ToUpper(adminEmail), "-password-file", file)
	if err != nil || strings.Contains(out, "horse") {
		t.Errorf("with a file: got %q, %v; want success that does not print the password", out, err)
	}
	h.signIn(adminEmail, "Another-horse-2")
	weak := writeFile(t, "weak", "weak")
	for want, args := range map[string][]string{
		"no admin has the address": {"-email", ann.email},
		"does not know":            {"email", adminEmail},
		"characters":               {"-password-file", weak},
		"no such file":             {"-password-file", weak + "-missing"},
	} {
		if _, err := h.command("admin password", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want an error with %q", args, err, want)
		}
	}
	if _, err := h.command("admin create", "-email", ann.email); err != nil {
		t.Fatal(err)
	}
	if _, err := h.command("admin password"); err == nil || !strings.Contains(err.Error(), "there are 2 admins") {
		t.Errorf("with two admins: got %v, want an error that asks for -email", err)
	}
	if !h.alive(ann) {
		t.Error("a refused command ended a session")
	}
}
