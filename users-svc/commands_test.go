package users_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/users-svc"
)

// command runs "users-svc <name> args..." beside the running service.
func (h *harness) command(name string, args ...string) (string, error) {
	h.t.Helper()
	for _, c := range users.Program().Commands {
		if c.Name == name {
			var out bytes.Buffer
			err := c.Run(h.t.Context(), h.cfg, h.runtime(), args, &out)
			return out.String(), err
		}
	}
	h.t.Fatalf("no command %q", name)
	return "", nil
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAdminByCommand(t *testing.T) {
	t.Parallel()
	h := start(t)
	out, err := h.command("admin create", "-email", "boss@example.com")
	_, made, found := strings.Cut(out, "password: ")
	if err != nil || !found {
		t.Fatalf("admin create: got %q, %v", out, err)
	}
	if !h.signIn("boss@example.com", strings.TrimSpace(made)).identity.Admin {
		t.Error("the account is no admin")
	}
	ann := h.signUp()
	if out, err := h.command("admin create", "-email", ann.email); err != nil || strings.Contains(out, "password") {
		t.Errorf("an account that exists: got %q, %v; want it promoted with its own password", out, err)
	}
	if !h.signIn(ann.email, password).identity.Admin {
		t.Error("the account was not promoted")
	}
	file := writeFile(t, "password", "Another-horse-2\n")
	if _, err := h.command("admin create", "-email", ann.email, "-password-file", file); err != nil || h.alive(ann) {
		t.Errorf("with a password: %v; alive: %v", err, h.alive(ann))
	}
	h.signIn(ann.email, "Another-horse-2")
	for _, args := range [][]string{{}, {"-email", "nonsense"},
		{"-email", "x@example.com", "-password-file", writeFile(t, "weak", "weak")}} {
		if _, err := h.command("admin create", args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// TestAdminByCommandNeedsNoMail: an operator vouches for the address, and a stranger who signed up
// with it before loses all access.
func TestAdminByCommandNeedsNoMail(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	query[bool](h, `UPDATE users SET email_verified = false WHERE id = $1 RETURNING true`, ann.id)
	_, secret := h.createToken(ann.identity, map[string]any{"permission_template": "full_access"})
	h.enableTwoFactor(&ann)
	withMail(testkit.SMTP(t))(&h.cfg)
	h.baseURL = h.startReplica()
	if out, err := h.command("admin create", "-email", ann.email, "-password-file",
		writeFile(t, "password", "The-operators-1")); err != nil {
		t.Fatal(out, err)
	}
	if root := h.signIn(ann.email, "The-operators-1"); !root.identity.Admin || h.alive(ann) || h.stateOf(secret).Alive {
		t.Errorf("admin %v; alive: session %v, auth token %v", root.identity.Admin, h.alive(ann), h.stateOf(secret).Alive)
	}
}

func TestKeysRotateByCommand(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	before := keyID(t, h.admin().token)
	if out, err := h.command("keys rotate"); err != nil || !strings.Contains(out, "signs from") {
		t.Fatalf("keys rotate: got %q, %v", out, err)
	}
	h.clock.forward(2e9) // the published set may be a second old
	if n := len(h.jwks()); n != 2 || keyID(t, h.admin().token) != before {
		t.Errorf("after rotation: %d keys, want 2 and the old one signing", n)
	}
	if _, err := h.command("keys rotate", "-now"); err != nil {
		t.Fatal(err)
	}
	h.clock.forward(2e9)
	if n := len(h.jwks()); n != 3 || keyID(t, h.admin().token) == before {
		t.Errorf("after rotation at once: %d keys, want 3 and another one signing", n)
	}
}

func TestKeyEncryptionKeyIsReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	h := start(t)
	me := h.signUp()
	app := h.enableTwoFactor(&me)
	before := me.token
	old := h.cfg.KeyEncryptionKey
	h.cfg.KeyEncryptionKey = otherKeyEncryptionKey + "," + old
	h.baseURL = h.startReplica()
	out, err := h.command("keys reseal")
	if err != nil || !strings.Contains(out, "1 signing keys sealed again") ||
		!strings.Contains(out, "1 second factors sealed again") {
		t.Fatalf("keys reseal: got %q, %v", out, err)
	}
	if out, err := h.command("keys reseal"); err != nil || !strings.Contains(out, "0 signing keys") ||
		!strings.Contains(out, "0 second factors") {
		t.Errorf("a second time: got %q, %v", out, err)
	}
	h.cfg.KeyEncryptionKey = otherKeyEncryptionKey
	h.baseURL = h.startReplica()
	h.verify(h.challenge(me), app.code()).want(200, "", "Login successful")
	if _, err := auth.Parse(before, h.jwks(), "realmgate", "realmgate", h.clock.now); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	h.cfg.KeyEncryptionKey = old
	if out, err := h.command("keys reseal"); err == nil || !strings.Contains(err.Error(), "2 secrets do not open") {
		t.Errorf("without the key: got %q, %v", out, err)
	}
	if _, err := h.command("keys reseal", "now"); err == nil || !strings.Contains(err.Error(), `does not know "now"`) {
		t.Errorf("a word too many: %v", err)
	}
}

// The hashes of "Correct-horse-1", made by Python's hashlib and crypt.
var foreignHashes = map[string]string{
	"bcrypt":         "$2b$10$abcdefghijklmnopqrstuuECmNdYvCv6h1uds9nbNwFs1KsXGPETu",
	"passlib-sha256": "$pbkdf2-sha256$100000$AAECAwQFBgcICQoLDA0ODw$jMv7127fUILAF6TT9btk5/ksVtLqObrxhYIf2rCGy8s",
	"passlib-sha512": "$pbkdf2-sha512$35000$AAECAwQFBgcICQoLDA0ODw$7Mr0AgnHOJTTdbP0yPxHALYajIp.TWXULn7wu8e2S7gSz8/pqb9OUb2Erz.xSeHZjCjoajlg65vALvwdBRYkHA",
	"passlib-sha1":   "$pbkdf2$200000$AAECAwQFBgcICQoLDA0ODw$4HhPMf7RBWCqlaOtloZ/u7tP.R0",
	"django":         "pbkdf2_sha256$100000$saltsalt$Xz4EaPGwvGWcAZlsjulyrf3BFbthYCeq0PP2iM9iZSI=",
}

func TestImport(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin)
	table := "email,password_hash,username,email_verified\n"
	for kind, hash := range foreignHashes {
		table += kind + "@example.com," + hash + ",name-" + kind + ",true\n"
	}
	lines := len(foreignHashes) + 1
	table += "bcrypt@example.com," + foreignHashes["bcrypt"] + ",,\n" +
		"free@example.com," + foreignHashes["bcrypt"] + ",name-bcrypt,\n" +
		"nonsense," + foreignHashes["bcrypt"] + ",,\n" +
		"plain@example.com,password,,\n" +
		"costly@example.com,$2b$31$abcdefghijklmnopqrstuu8vTtLr5./SGBBw0yJo9pbgSfwzeRQWq,,\n" +
		"a@example.com,too,many,cells,here\n" +
		"b@example.com," + foreignHashes["bcrypt"] + ",,perhaps\n"
	out, err := h.command("import", writeFile(t, "people.csv", table))
	for i, why := range []string{"email has an account already", "username is taken", "email must be an e-mail address",
		"password_hash is not a bcrypt",
		"password_hash costs too much: bcrypt with cost 31, at most cost 13", "malformed: wrong number of fields",
		"email_verified must be a boolean"} {
		if want := fmt.Sprintf("line %d: %s", lines+i+1, why); !strings.Contains(out, want) {
			t.Errorf("report: got\n%s\nwant %q in it", out, want)
		}
	}
	if err != nil || !strings.HasSuffix(out, fmt.Sprintf("%d imported, 7 refused\n", len(foreignHashes))) {
		t.Errorf("import: got\n%s%v", out, err)
	}
	for kind := range foreignHashes {
		h.tryLogin("198.51.100.7", kind+"@example.com", "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
		h.tryLogin("198.51.100.7", "name-"+kind, password).want(200, "", "")
		h.tryLogin("198.51.100.7", kind+"@example.com", password).want(200, "", "") // with the renewed hash
	}
	out, err = h.command("import", writeFile(t, "people.jsonl", `
		{"email":"j1@example.com","password_hash":"`+foreignHashes["django"]+`","alias":"J","metadata":{"a":"\u0000"},"created_at":"2020-01-02T03:04:05Z"}
		{"email":"j2@example.com"}
		not JSON
		{"email":"j3@example.com","password_hash":"`+foreignHashes["django"]+`","created_at":"2120-01-02T03:04:05Z"}`))
	if err != nil || !strings.HasSuffix(out, "1 imported, 3 refused\n") {
		t.Errorf("import: got\n%s%v", out, err)
	}
	a := h.tryLogin("198.51.100.7", "j1@example.com", password).mustStatus(200)
	if a.text("user.created_at") != "2020-01-02T03:04:05.000Z" || a.text("user.signup_method") != "import" ||
		!strings.Contains(string(a.body), `{"a":"\u0000"}`) {
		t.Errorf("imported user: got %s", a.body)
	}
	for _, args := range [][]string{{}, {"nofile.csv"}, {writeFile(t, "x.txt", "")}} {
		if _, err := h.command("import", args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

// TestImportReportsIgnoredFields: a field that an account cannot have is refused or reported.
func TestImportReportsIgnoredFields(t *testing.T) {
	t.Parallel()
	h := start(t)
	for format, file := range map[string]string{
		"csv": "email,password_hash,is_admin,is_banned,metadata,phone\n" +
			"k1@example.com," + foreignHashes["django"] + `,false,false,"{""a"":1}",0123` + "\n" +
			"k2@example.com," + foreignHashes["django"] + ",true,false,,0124\n" +
			"k3@example.com," + foreignHashes["django"] + ",yes,true,none,\n",
		"jsonl": `{"email":"k4@example.com","password_hash":"` + foreignHashes["django"] + `","metadata":{"a":1},"phone":"0123"}
			{"email":"k5@example.com","password_hash":"` + foreignHashes["django"] + `","is_admin":true,"is_banned":null,"phone":1}
			{"email":"k6@example.com","password_hash":"` + foreignHashes["django"] + `","is_admin":"yes","is_banned":true,"metadata":"none"}`,
	} {
		out, err := h.command("import", writeFile(t, "people."+format, file))
		for _, why := range []string{"is_admin must be false", "is_admin must be a boolean", "is_banned must be false",
			"metadata must be"} {
			if strings.Count(out, why) != 1 {
				t.Errorf("%s: got\n%s\nwant %q once", format, out, why)
			}
		}
		if err != nil || strings.Count(out, "unknown field /phone was ignored") != 1 ||
			!strings.HasSuffix(out, "1 imported, 2 refused\n") {
			t.Errorf("%s: got\n%s%v", format, out, err)
		}
	}
	for _, name := range []string{"k1@example.com", "k4@example.com"} {
		if a := h.tryLogin("198.51.100.7", name, password).mustStatus(200); a.field("user.metadata.a") != 1.0 {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

func TestImportOfManyAccountsAndBadNames(t *testing.T) {
	t.Parallel()
	h := start(t)
	const accounts = 450 // more than two transactions
	var file strings.Builder
	file.WriteString("email,password_hash,username\n")
	for i := range accounts {
		fmt.Fprintf(&file, "many%d@example.com,%s,Name %d\n", i, foreignHashes["django"], i)
	}
	for _, name := range []string{"with@at", "hidden\u200b", strings.Repeat("x", 101)} {
		fmt.Fprintf(&file, "bad@example.com,%s,%s\n", foreignHashes["django"], name)
	}
	out, err := h.command("import", writeFile(t, "people.csv", file.String()))
	if err != nil || strings.Count(out, "username must") != 3 || !strings.HasSuffix(out, "450 imported, 3 refused\n") {
		t.Errorf("got\n%s%v\nwant 450 accounts, and 3 refused usernames", out, err)
	}
	if got := query[int](h, `SELECT count(*)::int FROM users`); got != accounts {
		t.Errorf("accounts: got %d, want %d", got, accounts)
	}
	h.tryLogin("198.51.100.7", "Name 449", password).want(200, "", "")
}
