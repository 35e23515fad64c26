package users_test

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

const firstPassword, secondPassword = "The-first-ones-1", "The-second-ones-2"

// TestAddressesOfOneMailboxShareAccount signs up with both addresses and checks which password
// opens the account.
func TestAddressesOfOneMailboxShareAccount(t *testing.T) {
	t.Parallel()
	h := start(t)
	for name, c := range map[string]struct {
		first, second string
		one           bool
	}{
		"case":                      {"Kx1@Example.com", "kX1@eXample.COM", true},
		"accents composed":          {"ju\u0308rgen@example.com", "J\u00dcRGEN@example.com", true},
		"Angstrom sign":             {"\u212bke@example.com", "\u00e5ke@example.com", true},
		"Greek final sigma":         {"νικος@example.com", "ΝΙΚΟΣ@example.com", true},
		"capital sharp s":           {"stra\u1e9ee@example.com", "straße@example.com", true},
		"domain in ASCII":           {"a@xn--exmple-cua.com", "A@EXÄMPLE.com", true},
		"domain in Unicode":         {"b@exämple.com", "b@XN--exmple-cua.com", true},
		"domain composed":           {"c@exa\u0308mple.com", "c@exämple.com", true},
		"ideographic stop, wide":    {"d@ｅｘａｍｐｌｅ\u3002com", "d@example.com", true},
		"Kelvin sign in the domain": {"e@\u212aelvin.example", "e@kelvin.example", true},
		"Kelvin sign":               {"\u212ax2@example.com", "kx2@example.com", false},
		"Kelvin sign and an accent": {"\u212a\u0327x@example.com", "\u0137x@example.com", false},
		"dotted capital I":          {"\u0130x@example.com", "ix@example.com", false},
		"dotted capital I, others":  {"\u0130bü@example.com", "ibü@example.com", false},
		"dotless i":                 {"\u0131x3@example.com", "Ix3@example.com", false},
		"long s":                    {"\u017fam@example.com", "sam@example.com", false},
		"sharp s":                   {"straße2@example.com", "strasse2@example.com", false},
		"sharp s in the domain":     {"f@faß.example", "f@fass.example", false},
		"final sigma in the domain": {"g@νικος.example", "g@νικοσ.example", false},
		"ligature":                  {"\ufb01x@example.com", "fix@example.com", false},
		"wide":                      {"\uff41b@example.com", "ab@example.com", false},
		"Cyrillic":                  {"\u0430b4@example.com", "ab4@example.com", false},
		"micro sign":                {"\u00b5x@example.com", "\u03bcx@example.com", false},
		"Greek double of grave":     {"x\u1fefy@example.com", "x`y@example.com", false},
		"the other one first: K":    {"kx5@example.com", "\u212ax5@example.com", false},
		"the other one first: I":    {"ix5@example.com", "\u0130x5@example.com", false},
		"plus and dots are literal": {"a.b+c@example.com", "ab@example.com", false},
		"unrelated":                 {"x6@example.com", "y6@example.com", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &harness{t: t, baseURL: h.baseURL, internalKeys: h.internalKeys}
			h.requestSignUp(c.first, firstPassword)
			h.requestSignUp(c.second, secondPassword)
			want := map[bool]int{true: 401, false: 200}[c.one]
			for _, try := range []struct {
				email, password string
				want            int
			}{{c.first, firstPassword, 200}, {c.second, secondPassword, want}, {c.second, firstPassword, 601 - want}} {
				if got := h.tryLogin("198.51.100.7", try.email, try.password).status; got != try.want {
					t.Errorf("login as %+q with %s: got %d, want %d", try.email, try.password, got, try.want)
				}
			}
		})
	}
}

// invalidAddresses returns addresses that no account can have, by their fault.
func invalidAddresses() map[string]string {
	return map[string]string{
		"label begins with a hyphen":    "a@-x.example",
		"label ends with one":           "a@x-.example",
		"top label":                     "a@x.-y",
		"hyphens of a prefix":           "a@ab--c.example",
		"label of 64":                   "a@" + strings.Repeat("x", 64) + ".example",
		"label of 64 in ASCII":          "a@" + strings.Repeat("日本語", 20) + ".example",
		"domain of 254":                 "a@" + strings.Repeat(strings.Repeat("x", 41)+".", 6) + "xx",
		"empty label":                   "a@b..example",
		"dot at the end":                "a@example.com.",
		"ideographic dot at the end":    "a@example.com\u3002",
		"dot first":                     "a@.example.com",
		"no domain":                     "a@",
		"underscore":                    "a@foo_bar.example",
		"percent":                       "a@x%y.example",
		"joiner in a word":              "a@a\u200db.example",
		"non-joiner in a word":          "a@a\u200cb.example",
		"joiner alone":                  "a@\u200d.example",
		"A-label of a joiner":           "a@xn--1ug.example",
		"no A-label":                    "a@xn--a.example",
		"empty A-label":                 "a@xn--.example",
		"A-label of ASCII":              "a@xn--kx-.example",
		"A-label of an A-label":         "a@xn--xn--a--gua.example",
		"mixed directions":              "a@1\u05d0.example",
		"mark first":                    "a@\u0301x.example",
		"soft hyphen in the domain":     "a@ex\u00adample.com",
		"word joiner in the domain":     "a@ex\u2060ample.com",
		"grapheme joiner in the domain": "a@ex\u034fample.com",
		"variation in the domain":       "a@ex\ufe0fample.com",
		"zero-width space":              "a\u200bb@example.com",
		"zero-width joiner":             "a\u200db@example.com",
		"byte order mark":               "\ufeffa@example.com",
		"word joiner":                   "a\u2060@example.com",
		"soft hyphen":                   "a\u00adb@example.com",
		"right-to-left override":        "a\u202eb@example.com",
		"isolate":                       "a\u2066b@example.com",
		"left-to-right mark":            "a\u200eb@example.com",
		"C1 control":                    "a\u0085b@example.com",
		"no-break space":                "a\u00a0b@example.com",
		"line separator":                "a\u2028b@example.com",
		"Hangul filler":                 "a\u3164b@example.com",
		"half-width filler":             "a\uffa0b@example.com",
		"grapheme joiner":               "a\u034fb@example.com",
		"variation selector":            "a\ufe0fb@example.com",
		"tag":                           "a\U000e0061b@example.com",
		"private use":                   "a\ue000b@example.com",
		"not assigned":                  "a\u0378b@example.com",
		"blank Braille":                 "a\u2800b@example.com",
	}
}

func TestInvalidAddressesAreRefused(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	root := h.admin().identity
	for name, email := range invalidAddresses() {
		a := h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password})
		a.request = "signup: " + name
		if a.want(400, "VALIDATION_ERROR", ""); !strings.Contains(string(a.body), `"instancePath":"/email"`) {
			t.Errorf("%s: got %s, want the field named", name, a.body)
		}
		a = h.do(root, "POST", "/api/v1/users", map[string]string{"email": email, "password": password})
		a.request = "create: " + name
		a.want(400, "VALIDATION_ERROR", "")
	}
	for name, email := range map[string]string{
		"letters beyond ASCII":         "jürgen@exämple.com",
		"right to left":                "\u05d0\u05d1@\u05d0\u05d1.example",
		"a joiner that the word needs": "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example",
		"label of 63":                  "a@" + strings.Repeat("x", 63) + ".example",
		"one label":                    "a@localhost",
		"A-label":                      "b@xn--bcher-kva.example",
		"emoji":                        "\U0001f600@example.com",
	} {
		a := h.do(anonymous, "POST", signupPath, map[string]string{"email": email, "password": password})
		a.request = "signup: " + name
		a.want(200, "", "")
	}
}

// insertOldAccount stores an account with an address and a key that an earlier release gave it.
func (h *harness) insertOldAccount(email string) (id string) {
	h.t.Helper()
	p := h.signUp()
	return query[string](h, `UPDATE users SET email = $2, email_key = $3 WHERE id = $1 RETURNING id`,
		p.id, email, strings.ToLower(email))
}

// TestAccountsOfEarlierReleasesKeepAddress: users of accounts that are stored by an older rule can
// sign in and reset the password, and no one else can sign up with their mailbox.
func TestAccountsOfEarlierReleasesKeepAddress(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t)
	kept := map[string][]string{ // by the spellings of the address
		"X1@exämple.com":        {"x1@EXÄMPLE.com", "x1@xn--exmple-cua.com"},
		"X2@xn--exmple-cua.com": {"x2@exämple.com", "X2@XN--exmple-cua.com"},
		"\u0130x@example.com":   {"\u0130x@example.com"},
		"\u212ax@example.com":   {"\u212ax@example.com"},
		"Ju\u0308@example.com":  {"ju\u0308@example.com"},
		"X3@foo_bar.example":    {"x3@FOO_bar.example"},
		"ΟΔΟΣ@example.com":      {"οδοσ@example.com", "οδος@example.com"},
		"X4@-x.example":         {"x4@-X.example"},
		"a\u200bb@example.com":  {"a\u200bb@example.com"},
	}
	ids := map[string]string{}
	for email := range kept {
		ids[email] = h.insertOldAccount(email)
	}
	for email, spellings := range kept {
		for _, s := range append(spellings, email, strings.ToLower(email), " \t"+email+"\u00a0") {
			if a := h.tryLogin("198.51.100.7", s, password); a.status != 200 || a.text("user.id") != ids[email] {
				t.Errorf("login of %+q as %+q: got %d", email, s, a.status)
			}
		}
	}
	h.requestSignUp("x2@exämple.com", secondPassword)
	h.requestSignUp("x1@xn--exmple-cua.com", secondPassword)
	if n := query[int](h, `SELECT count(*)::int FROM users`); n != len(kept) {
		t.Errorf("accounts after signing up with their mailboxes: got %d, want %d", n, len(kept))
	}
	withMail(office)(&h.cfg)
	h.baseURL = h.startReplica()
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": " x1@xn--exmple-cua.com "}).mustStatus(200)
	token := linkToken(t, office.Await(t, "X1@xn--exmple-cua.com", 1), "reset-password")
	h.do(anonymous, "POST", resetPath, map[string]string{"token": token, "password": secondPassword}).mustStatus(200)
	h.tryLogin("198.51.100.8", "X1@exämple.com", secondPassword).want(200, "", "")
	h.do(anonymous, "POST", forgotPath, map[string]string{"email": "X3@foo_bar.example"}).mustStatus(200)
	office.Await(t, "X3@foo_bar.example", 1)
}

func TestEmailsCheckListsInvalidAddresses(t *testing.T) {
	t.Parallel()
	h := start(t)
	if out, err := h.command("emails check"); err != nil || !strings.Contains(out, "all 0 accounts") {
		t.Errorf("no accounts: got %q, %v", out, err)
	}
	h.signUp()
	dotted, kelvin, domain := h.insertOldAccount("\u0130x@example.com"), h.insertOldAccount("\u212ax@example.com"),
		h.insertOldAccount("a@-x.example")
	first, second := h.insertOldAccount("two@exämple.com"), h.insertOldAccount("two@xn--exmple-cua.com")
	listed := []string{
		dotted + ` "\u0130x@example.com": stored as "ix@example.com", its mailbox is "\u0130x@example.com"` + "\n",
		kelvin + ` "\u212ax@example.com": stored as "kx@example.com", its mailbox is "\u212ax@example.com"` + "\n",
		domain + ` "a@-x.example": must be an e-mail address whose domain is a valid DNS name`,
		second + ` "two@xn--exmple-cua.com": stored as "two@xn--exmple-cua.com", its mailbox is "two@ex\u00e4mple.com", ` +
			`which account ` + first + ` has ("two@ex\u00e4mple.com")` + "\n",
	}
	out, err := h.command("emails check")
	for _, line := range listed {
		if !strings.Contains(out, line) {
			t.Errorf("list: got\n%s\nwant in it\n%s", out, line)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "4 of 6 accounts") || strings.Count(out, "\n") != 4 {
		t.Errorf("list: got %v and\n%s\nwant 4 of 6", err, out)
	}
	h.requestSignUp("kx@example.com", secondPassword)
	h.tryLogin("198.51.100.7", "kx@example.com", secondPassword).want(401, "", "") // the lockout lasts
	if out, err := h.command("emails check", "-rekey"); err == nil || strings.Count(out, "corrected") != 2 {
		t.Errorf("-rekey: got %v and\n%s\nwant two corrected and an error for the others", err, out)
	}
	h.requestSignUp("kx@example.com", secondPassword)
	h.tryLogin("198.51.100.7", "kx@example.com", secondPassword).want(200, "", "")
	h.tryLogin("198.51.100.7", "\u212ax@example.com", password).want(200, "", "")
	if out, err := h.command("emails check", "now"); err == nil {
		t.Errorf("a word too many: got %q", out)
	}
}

// TestFailuresAreCountedPerMailbox: another spelling of an address gives no new attempts, and
// look-alike addresses are counted apart.
func TestFailuresAreCountedPerMailbox(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, email := range []string{"a@exämple.com", "A@xn--exmple-cua.com", "a@EXA\u0308MPLE.com"} {
		for range 3 {
			h.tryLogin("198.51.100.7", email, "Wrong-horse-1").want(401, "", "")
		}
	}
	h.tryLogin("198.51.100.7", " a@exämple.com", "Wrong-horse-1").want(401, "", "")
	h.tryLogin("198.51.100.7", "a@xn--exmple-cua.COM", "Wrong-horse-1").want(429, "", "")
	for range 10 {
		h.tryLogin("198.51.100.7", "\u212ax@example.com", "Wrong-horse-1").want(401, "", "")
	}
	h.tryLogin("198.51.100.7", "kx@example.com", "Wrong-horse-1").want(401, "", "")
}

func TestMailIsSentToASCIIDomain(t *testing.T) {
	t.Parallel()
	office := testkit.SMTP(t)
	h := start(t, withMail(office))
	h.requestSignUp("Ann@B\u00fccher.example", password)
	linkToken(t, office.Await(t, "Ann@xn--bcher-kva.example", 1), "verify-email")
}

func TestFirstAdminAddressIsValidated(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.cfg.FirstAdmin.Email, h.cfg.FirstAdmin.Password = "root@-x.example", password
	_, err := users.New(t.Context(), h.cfg, h.runtime())
	if err == nil || !strings.Contains(err.Error(), "ADMIN_EMAIL must be an e-mail address") {
		t.Errorf("got %v", err)
	}
	if out, err := h.command("admin create", "-email", "root\u200b@example.com"); err == nil {
		t.Errorf("admin create: got %q", out)
	}
}
