package passwords

import (
	"testing"

	"github.com/alexedwards/argon2id"
)

// TestUnusableHashCostsAsMuchAsAnyHash: a sign-in to an account that does not exist takes as long as
// one to an account that does.
func TestUnusableHashCostsAsMuchAsAnyHash(t *testing.T) {
	t.Parallel()
	h := NewHasher(Config{MemoryKiB: 19456, Time: 2, Threads: 1, Parallel: 1})
	real, err := h.HashNow("correct-Horse-7")
	if err != nil {
		t.Fatal(err)
	}
	want, wantSalt, wantKey, err := argon2id.DecodeHash(real)
	if err != nil {
		t.Fatal(err)
	}
	got, salt, key, err := argon2id.DecodeHash(h.unusable)
	if err != nil || *got != *want || len(salt) != len(wantSalt) || len(key) != len(wantKey) {
		t.Errorf("%s, %v: does not cost what %s does", h.unusable, err, real)
	}
	for _, unusable := range []string{"", "!", "$2x$10$" + real[:53]} {
		if h.Verify("correct-Horse-7", unusable) {
			t.Errorf("a password matches the hash %q", unusable)
		}
	}
	if again := h.Unusable(); again == h.unusable {
		t.Error("the unusable hash is the same every time")
	}
}
