package users_test

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

func bcryptOf(t *testing.T, password string) string {
	t.Helper()
	if len(password) > 72 {
		password = password[:72] // as all implementations except this library do
	}
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func pbkdf2Of(t *testing.T, name string, newHash func() hash.Hash, rounds, length int, password string) string {
	t.Helper()
	key, err := pbkdf2.Key(newHash, password, []byte("saltsalt"), rounds, length)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("pbkdf2_%s$%d$saltsalt$%s", name, rounds, base64.StdEncoding.EncodeToString(key))
}

func argonOf(memory, passes uint32, lanes uint8, password string) string {
	key := argon2.IDKey([]byte(password), []byte("saltsaltsaltsalt"), passes, memory, lanes, 32)
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$c2FsdHNhbHRzYWx0c2FsdA$%s",
		memory, passes, lanes, base64.RawStdEncoding.EncodeToString(key))
}

// importAll imports accounts with the hashes. The keys are the local parts of their addresses at
// example.com.
func (h *harness) importAll(hashes map[string]string) {
	h.t.Helper()
	file := "email,password_hash\n"
	for name, hash := range hashes {
		file += name + "@example.com,\"" + hash + "\"\n" // the parameters of Argon2id have commas
	}
	out, err := h.command("import", writeFile(h.t, "people.csv", file))
	if err != nil || !strings.HasSuffix(out, fmt.Sprintf("%d imported, 0 refused\n", len(hashes))) {
		h.t.Fatalf("import: got\n%s%v", out, err)
	}
}

// setHashes is importAll for hashes that are too cheap for an import; costly ones take minutes with
// the race detector.
func (h *harness) setHashes(hashes map[string]string) {
	h.t.Helper()
	costly := map[string]string{}
	for name := range hashes {
		costly[name] = foreignHashes["bcrypt"]
	}
	h.importAll(costly)
	for name, hash := range hashes {
		query[bool](h, `UPDATE users SET password_hash = $1 WHERE email = $2 RETURNING true`, hash, name+"@example.com")
	}
}

func (h *harness) storedHash(email string) string {
	h.t.Helper()
	return query[string](h, `SELECT password_hash FROM users WHERE email = $1`, email)
}

// TestImportedAccountKeepsPassword: some formats match several passwords. A login with another one
// must not shut out the password that the hash was made of.
func TestImportedAccountKeepsPassword(t *testing.T) {
	t.Parallel()
	h := start(t)
	const short, nul = "Correct-horse-1", "\x00"
	long, umlauts := strings.Repeat("Long-words-9", 6), strings.Repeat("ü", 36) // 72 bytes each
	// A published pair: the second is the SHA-1 of the first.
	longer, digest := "plnlrtfpijpuhqylxbgqiiyipieyxvfsavzgxbbcfusqkozwpngsyejqlmjsytrmd", "eBkXQTfuBqp'cTcar&g*"
	cases := map[string]struct {
		stored, owner string
		others        []string // also match until the owner has signed in
	}{
		"bcrypt-72":   {bcryptOf(t, long), long, []string{long + "tail", long + nul, long + "other"}},
		"bcrypt-more": {bcryptOf(t, long+"+more"), long + "+more", []string{long, long + "x"}},
		"bcrypt-71":   {bcryptOf(t, long[:71]), long[:71], []string{long[:71] + nul + "x"}},
		"bcrypt-nul":  {bcryptOf(t, short), short, []string{short + nul + short, short + nul + short + nul + short}},
		"bcrypt-utf8": {bcryptOf(t, umlauts), umlauts, []string{umlauts + "x"}},
		"sha1-nul":    {pbkdf2Of(t, "sha1", sha1.New, 2_000, 20, short), short, []string{short + nul + nul}},
		"sha256-nul":  {pbkdf2Of(t, "sha256", sha256.New, 1_000, 32, short), short, []string{short + nul}},
		"sha512-nul":  {pbkdf2Of(t, "sha512", sha512.New, 350, 64, short), short, []string{short + nul}},
		"sha1-longer": {pbkdf2Of(t, "sha1", sha1.New, 2_000, 20, longer), longer, []string{digest}},
		"sha1-digest": {pbkdf2Of(t, "sha1", sha1.New, 2_000, 20, digest), digest, []string{longer}},
		"argon2id":    {argonOf(128, 5, 2, short), short, nil},
	}
	hashes := map[string]string{}
	for name, c := range cases {
		hashes[name] = c.stored
	}
	h.setHashes(hashes)
	for name, c := range cases {
		email := name + "@example.com"
		for _, typed := range append(c.others, c.owner, c.owner) {
			a := h.tryLogin("198.51.100.7", email, typed)
			a.request = fmt.Sprintf("%s with %q", name, typed)
			a.want(200, "", "")
		}
		for _, typed := range c.others {
			h.tryLogin("198.51.100.7", email, typed) // with any result
			h.tryLogin("198.51.100.7", email, c.owner).want(200, "", "")
		}
	}
	h.tryLogin("198.51.100.7", "bcrypt-72@example.com", long[:71]).want(401, "", "")
	h.tryLogin("198.51.100.7", "sha1-longer@example.com", longer[1:]).want(401, "", "")
}

// TestImportTakesFormatsOfOtherProducts imports hashes as Django and Ory Kratos write them.
func TestImportTakesFormatsOfOtherProducts(t *testing.T) {
	t.Parallel()
	h := start(t)
	salt := []byte("saltsaltsaltsalt")
	key, err := pbkdf2.Key(sha256.New, password, salt, 100_000, 32)
	if err != nil {
		t.Fatal(err)
	}
	raw := base64.RawStdEncoding
	hashes := map[string]string{
		"django": "argon2" + argonOf(7168, 5, 1, password),
		"kratos": "$pbkdf2-sha256$i=100000,l=32$" + raw.EncodeToString(salt) + "$" + raw.EncodeToString(key),
	}
	h.importAll(hashes)
	for name := range hashes {
		email := name + "@example.com"
		h.tryLogin("198.51.100.7", email, "Wrong-horse-1").want(401, "INVALID_CREDENTIALS", "")
		h.tryLogin("198.51.100.7", email, password).want(200, "", "")
	}
}

// TestImportedHashIsRenewed: a hash is renewed when only the typed password can match it.
func TestImportedHashIsRenewed(t *testing.T) {
	t.Parallel()
	h := start(t)
	hashes := map[string]string{
		"bcrypt": bcryptOf(t, password), "argon": argonOf(128, 5, 1, password),
		"sha256": pbkdf2Of(t, "sha256", sha256.New, 1_000, 32, password),
		"long":   bcryptOf(t, strings.Repeat("x", 72)),
	}
	h.setHashes(hashes)
	for name, stored := range hashes {
		typed := map[bool]string{true: strings.Repeat("x", 72), false: password}[name == "long"]
		h.tryLogin("198.51.100.7", name+"@example.com", typed).want(200, "", "")
		// An imported Argon2id hash is stronger than the hashes of this test, so it stays.
		kept, want := h.storedHash(name+"@example.com") == stored, name == "long" || name == "argon"
		if kept != want {
			t.Errorf("%s: the hash was kept: %v, want %v", name, kept, want)
		}
	}
}

// failedWork returns the work of one failed login by the kind of hash.
func (h *harness) failedWork(name, password string) map[string]float64 {
	h.t.Helper()
	before := h.counters("password_hash_work_total")
	h.tryLogin("198.51.100.7", name, password).want(401, "INVALID_CREDENTIALS", "")
	work := map[string]float64{}
	for kind, value := range h.counters("password_hash_work_total") {
		work[kind] = value - before[kind]
	}
	return work
}

// counters returns the values of a counter or gauge by their labels.
func (h *harness) counters(name string) map[string]float64 {
	h.t.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
				out[strings.Join(labels, ",")] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return out
}

// TestFailedLoginCostsTheSameForEveryAccount includes unknown names and all kinds of hashes.
func TestFailedLoginCostsTheSameForEveryAccount(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	native := map[string]float64{"argon2id": 64}
	if got := h.failedWork("nobody@example.com", "Wrong-horse-1"); !maps.Equal(got, native) {
		t.Errorf("with our hashes only: got %v, want %v", got, native)
	}
	hashes := map[string]string{
		"b4": bcryptOf(t, password), "b5": strings.Replace(bcryptOf(t, password), "$04$", "$05$", 1),
		"s1000": pbkdf2Of(t, "sha256", sha256.New, 1_000, 32, password),
		"s1100": pbkdf2Of(t, "sha256", sha256.New, 1_100, 32, password),
		"s64":   pbkdf2Of(t, "sha256", sha256.New, 1_000, 64, password),
		"a5":    argonOf(128, 5, 1, password), "a6": argonOf(128, 6, 1, password),
	}
	h.setHashes(hashes)
	want := map[string]float64{"argon2id": 6 * 128, "bcrypt": 1 << 5, "pbkdf2-sha256": 1_100}
	eventually(t, "the import is known", func() bool {
		return maps.Equal(h.failedWork(newEmail(), "Wrong-horse-1"), want)
	})
	query[bool](h, `UPDATE users SET password_hash = '!' WHERE email = $1 RETURNING true`, h.signUp().email)
	names := append(slices.Collect(maps.Keys(hashes)), "nobody")
	for _, name := range names {
		if got := h.failedWork(name+"@example.com", "Wrong-horse-1"); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := h.failedWork(ann.email, "Wrong-horse-1"); !maps.Equal(got, want) {
		t.Errorf("an account of our own: got %v, want %v", got, want)
	}
	// Two spellings of the password cost two hashes for every account.
	for kind := range want {
		want[kind] *= 2
	}
	for _, name := range []string{"b4@example.com", "nobody@example.com"} {
		if got := h.failedWork(name, "Wröng-horse-1"); !maps.Equal(got, want) {
			t.Errorf("%s, with a password of two spellings: got %v, want %v", name, got, want)
		}
	}
}

// TestImportableHashes: the report names the violated bound, and a refused row does not stop the
// others.
func TestImportableHashes(t *testing.T) {
	t.Parallel()
	h := start(t)
	withCost := func(cost string) string {
		return "$2b$" + cost + strings.TrimPrefix(foreignHashes["bcrypt"], "$2b$10")
	}
	withRounds := func(kind, rounds string) string {
		parts := strings.Split(foreignHashes[kind], "$")
		parts[len(parts)-3] = rounds
		return strings.Join(parts, "$")
	}
	argon := func(parameters string) string {
		return "$argon2id$v=19$" + parameters + "$c2FsdHNhbHQ$" + strings.Repeat("A", 43)
	}
	const tooWeak, tooMuch = "is too weak: ", "costs too much: "
	for hash, why := range map[string]string{
		withCost("09"):                          tooWeak + "bcrypt with cost 9, at least cost 10",
		withCost("04"):                          tooWeak + "bcrypt with cost 4, at least cost 10",
		withCost("13"):                          "",
		withCost("14"):                          tooMuch + "bcrypt with cost 14, at most cost 13",
		withRounds("django", "99999"):           tooWeak + "pbkdf2-sha256 with 99999 rounds, at least 100000 rounds",
		withRounds("django", "2000001"):         tooMuch + "pbkdf2-sha256 with 2000001 rounds, at most 2000000 rounds",
		withRounds("django", "2000000"):         "",
		withRounds("passlib-sha1", "199999"):    tooWeak + "pbkdf2-sha1 with 199999 rounds, at least 200000 rounds",
		withRounds("passlib-sha512", "34999"):   tooWeak + "pbkdf2-sha512 with 34999 rounds, at least 35000 rounds",
		withRounds("passlib-sha512", "1000000"): tooMuch + "pbkdf2-sha512 with 1000000 rounds, at most 700000 rounds",
		argon("m=7168,t=4,p=1"): tooWeak +
			"argon2id with 28672 KiB times passes, at least 35840 KiB times passes",
		argon("m=4096,t=20,p=1"):  "needs m between 7168 and 131072 KiB and p at most 16",
		argon("m=262144,t=1,p=1"): "needs m between 7168 and 131072 KiB and p at most 16",
		argon("m=65536,t=5,p=1"): tooMuch +
			"argon2id with 327680 KiB times passes, at most 262144 KiB times passes",
		argon("m=65536,t=4,p=17"): "needs m between 7168 and 131072 KiB and p at most 16",
		argon("m=65536,t=4,p=4"):  "", argon("m=19456,t=2,p=1"): "",
		"$2x$10$" + strings.Repeat("a", 53): "is not a bcrypt, Argon2id or PBKDF2 hash",
		"$2b$10$" + strings.Repeat("!", 53): "is not a bcrypt, Argon2id or PBKDF2 hash",
	} {
		out, err := h.command("import", writeFile(t, "p.csv", "email,password_hash\n"+newEmail()+",\""+hash+"\"\n"))
		want := "1 imported, 0 refused\n"
		if why != "" {
			want = "line 2: password_hash " + why + "\n0 imported, 1 refused\n"
		}
		if err != nil || out != want {
			t.Errorf("%s: got %s%v, want %q", hash, out, err, want)
		}
	}
}
