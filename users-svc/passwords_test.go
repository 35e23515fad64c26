package users_test

import (
	"testing"

	"github.com/realmgate/realmgate/users-svc"
)

const guessable = "Password is too easy to guess: a common one, or little more than your name or address"

func TestCommonPasswordsAreRefused(t *testing.T) {
	t.Parallel()
	h, lax := start(t), start(t, func(c *users.Config) { c.Passwords.DenyCommon = false })
	for _, c := range []struct{ name, email, password string }{
		{"common", "a1@example.com", "Qwerty123456"},
		{"common with symbols around", "a2@example.com", "!Password123!"},
		{"common with digits for letters", "a3@example.com", "P@ssw0rd1234"},
		{"common with digits behind", "a4@example.com", "Welcome12345"},
		{"common with a year", "a5@example.com", "Summer-2026!"},
		{"common with a year before", "a6@example.com", "2026-Sunshine"},
		{"common with random digits", "a7@example.com", "Welcome-8391027"},
		{"ends in a digit for a letter", "a8@example.com", "W3lc0m3-2024!"},
		{"begins with a symbol for a letter", "a9@example.com", "$unshine2024"},
		{"one for l", "b1@example.com", "We1c0me!2024"},
		{"separators", "b2@example.com", "Let-Me-In-2024"},
		{"separators between all", "b3@example.com", "P.a.s.s.w.o.r.d.1"},
		{"twice", "b4@example.com", "Welcome1Welcome2"},
		{"twice, with digits for letters", "b5@example.com", "Passw0rd!Passw0rd"},
		{"three times anything", "b6@example.com", "Xyq7xyq7xyq7"},
		{"accents", "b7@example.com", "Pässwörd-2026"},
		{"fullwidth", "b8@example.com", "Ｐａｓｓｗｏｒｄ-2026"},
		{"in another language", "b9@example.com", "Passwort2026!"},
		{"a weekday", "c1@example.com", "Donnerstag-01"},
		{"rows of keys", "c2@example.com", "Qwertzuiop-12"},
		{"columns of keys", "c3@example.com", "1qaz!QAZ2wsx@WSX"},
		{"columns upwards", "c4@example.com", "Zaq1@wsx3EDC"},
		{"digits and the alphabet", "c5@example.com", "1234567890-Ab"},
		{"one character", "c6@example.com", "AAAAAAAAAAA1a"},
		{"the alphabet", "c7@example.com", "Abcdefghijkl1"},
		{"backwards", "c8@example.com", "Gfedcba-54321"},
		{"the product", "c9@example.com", "Realmgate-2026"},
		{"the product, written otherwise", "d1@example.com", "R3alm-Gate!!2026"},
		{"the address", "Annabelle.9@example.com", "annabelle.9@Example.com"},
		{"the local part and little more", "annabelle@example.com", "Annabelle-123"},
		{"the local part and digits", "annabelle3@example.com", "Annabelle-8391027!"},
		{"a part of the local part", "bartholomew.smith@example.com", "Bartholomew-2026"},
		{"the local part otherwise", "bartholomew.smythe@example.com", "B4rth0l0mewSmythe!"},
		{"the domain", "d2@acmewidgets.example", "AcmeWidgets-26!"},
		{"the domain and the product", "d3@acmewidgets.example", "Acmewidgets-Realmgate1"},
	} {
		body := map[string]string{"email": c.email, "password": c.password}
		a := h.do(anonymous, "POST", signupPath, body)
		a.request = c.name + ": " + c.password
		a.want(400, "WEAK_PASSWORD", guessable)
		lax.do(anonymous, "POST", signupPath, body).want(200, "", "")
	}
}

// TestStrongPasswordsAreAccepted covers passphrases and generated passwords.
func TestStrongPasswordsAreAccepted(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, c := range []struct{ email, password string }{
		{"a1@example.com", "Correct-horse-1"},
		{"a2@example.com", "correct-Horse-7-battery"},
		{"a3@example.com", "Another-horse-2"},
		{"a4@example.com", "Wrong-horse-1"},
		{"a5@example.com", "The-operators-1"},
		{"a6@example.com", "Purple monkey dishwasher 9"},
		{"a7@example.com", "Ein Berg im Nebel, 3 Ziegen"},
		{"a8@example.com", "Grüße-aus-Zürich-1"},
		{"a9@example.com", "sunshine Football 77 river"},
		{"b1@example.com", "vK9#mQ2$xL7!"},
		{"b2@example.com", "8!3#Xk92$610*7"},
		{"b3@example.com", "xkcd-Tr0ub4dor&3-river"},
		{"b4@example.com", "aZ3-hJ8-kL2-wE5"},
		{"b5@example.com", "Mq7rTz2pWx9c"},
		{"b6@example.com", "f81d4fae-7dec-11D0-a765"},
		{"b7@example.com", "пароль-Длинный-7"},
		{"b8@example.com", "正しい馬の電池ホチキスA1b"},
		{"b9@example.com", "Five tea cups, 2 broken"},
		{"annabelle2@example.com", "Annabelle2-goes-home"},
		{"jo@example.com", "Jo-and-12-more"},
		{"com@example.com", "Computers-hum-42"},
		{"example@example.com", "My-examples-are-long-1"},
		{"c1@river.example", "By-the-river-we-sat-9"},
	} {
		a := h.do(anonymous, "POST", signupPath, map[string]string{"email": c.email, "password": c.password})
		a.request = c.password
		a.want(200, "", "")
	}
}

func TestPasswordMustNotContainUserNames(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.AppName = "Umbrella Vault" })
	ann := h.signUp()
	user := "/api/v1/users/" + ann.id
	h.do(ann.identity, "PATCH", user, `{"alias":"Bartholomew"}`).mustStatus(200)
	change := func(to string) *response {
		return h.do(ann.identity, "PATCH", user, map[string]string{"password": to, "current_password": password})
	}
	for _, bad := range []string{"Qwerty123456", "Bartholomew-1", "UmbrellaVault1!", "Umbrella-2026-!"} {
		change(bad).want(400, "WEAK_PASSWORD", guessable)
	}
	change("Short-1").want(400, "WEAK_PASSWORD", "Password must be at least 12 characters, 3 of 4 character classes")
	change("Realmgate-2026-is-not-ours").want(200, "", "")
}
