package passwords

import (
	"crypto/pbkdf2"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// family is a kind of password hash whose costs compare: Argon2id with as many lanes, in KiB times
// passes; bcrypt, in rounds; PBKDF2 with one digest, in rounds.
type family struct {
	name   string
	lanes  uint8  // of Argon2id
	digest string // of PBKDF2
}

const (
	familyArgon2 = "argon2id"
	familyBcrypt = "bcrypt"
	familyPBKDF2 = "pbkdf2"
)

func (f family) String() string {
	if f.digest != "" {
		return f.name + "-" + f.digest
	}
	return f.name
}

// costBounds are the least and the most work that an imported hash may cost to check.
type costBounds struct{ min, max uint64 }

const (
	// The memory of an imported Argon2id hash: the least is that of OWASP's smallest set of
	// parameters, the most lets each core hold one on a small machine.
	minArgonMemoryKiB = 7 << 10
	maxArgonMemoryKiB = 128 << 10
	maxArgonLanes     = 16
)

// bounds of a family. The least for bcrypt and Argon2id are OWASP's (Password Storage Cheat Sheet,
// 2023). For PBKDF2 it is a sixth of OWASP's: most applications raised theirs in 2023 only, and a
// hash stays until its user signs in next. The most is about ten times of what a hash with our
// default parameters costs, because each failed sign-in costs as much: see equalWork.
func (f family) bounds() costBounds {
	switch f.name {
	case familyArgon2:
		return costBounds{5 * minArgonMemoryKiB, 256 << 10}
	case familyBcrypt:
		return costBounds{1 << 10, 1 << 13}
	}
	switch f.digest {
	case "sha1":
		return costBounds{200_000, 3_000_000}
	case "sha512":
		return costBounds{35_000, 700_000}
	}
	return costBounds{100_000, 2_000_000}
}

// cost says what an amount of work is called in the hashes of the family.
func (f family) cost(work uint64) string {
	switch f.name {
	case familyArgon2:
		return fmt.Sprintf("%d KiB times passes", work)
	case familyBcrypt:
		return fmt.Sprintf("cost %d", bits.Len64(work)-1)
	}
	return fmt.Sprintf("%d rounds", work)
}

// CheckImportable returns why a hash may not be imported: it is of no kind that can be checked, it
// is so cheap that whoever reads it finds the password, or so costly that an import would slow
// everyone's sign-in.
func CheckImportable(stored string) error {
	parsed, err := parseHash(stored)
	if err != nil {
		return err
	}
	limits, cost := parsed.family.bounds(), parsed.family.cost
	switch {
	case parsed.work < limits.min:
		return fmt.Errorf("is too weak: %s with %s, at least %s", parsed.family, cost(parsed.work), cost(limits.min))
	case parsed.work > limits.max:
		return fmt.Errorf("costs too much: %s with %s, at most %s", parsed.family, cost(parsed.work), cost(limits.max))
	case parsed.family.name != familyArgon2:
		return nil
	}
	memory := argonMemory(stored)
	if memory < minArgonMemoryKiB || memory > maxArgonMemoryKiB || parsed.family.lanes > maxArgonLanes {
		return fmt.Errorf("needs m between %d and %d KiB and p at most %d",
			minArgonMemoryKiB, maxArgonMemoryKiB, maxArgonLanes)
	}
	return nil
}

// Work is the most work that checking a password costs, by the kinds of the hashes that
// accounts have. A failed sign-in does all of it, so that its time tells neither whether there is
// an account nor what its hash is. Equal work rather than an equal pause: it holds on any machine
// under any load.
type Work map[family]workload

// workload is work of a family; memoryKiB is that of the Argon2id hash that it is to imitate.
type workload struct {
	work      uint64
	memoryKiB uint32
}

// add takes in a hash with its parameters as stored. What an import would refuse counts up to the
// bound: one such hash, of an earlier release, must not slow everyone's sign-in.
func (w Work) add(stored string, current bool) {
	parsed, err := parseHash(stored)
	if err != nil {
		return
	}
	load := workload{work: parsed.work}
	if parsed.family.name == familyArgon2 {
		load.memoryKiB = argonMemory(stored)
	}
	if !current {
		load.work, load.memoryKiB = min(load.work, parsed.family.bounds().max), min(load.memoryKiB, maxArgonMemoryKiB)
	}
	if load.work > w[parsed.family].work {
		w[parsed.family] = load
	}
}

// spend does the work of the family on nothing, as costly as that of a real hash.
func (f family) dummyHash(password string, load workload) {
	switch {
	case load.work == 0:
	case f.name == familyArgon2:
		f.dummyArgon2(password, load)
	case f.name == familyBcrypt:
		for cost := uint(bcrypt.MinCost); load.work>>cost > 0; cost++ {
			if load.work>>cost&1 == 1 {
				stored := fmt.Sprintf("$2a$%02d$%s", cost, strings.Repeat("a", bcryptLength-7))
				_ = bcrypt.CompareHashAndPassword([]byte(stored), []byte(password))
			}
		}
	default:
		_, newHash := pbkdf2Digest(f.digest)
		_, _ = pbkdf2.Key(newHash, password, make([]byte, saltBytes), int(load.work), newHash().Size())
	}
}

// spendArgon2 makes as many passes as fit, and one over less memory for the rest.
func (f family) dummyArgon2(password string, load workload) {
	memory := uint64(max(load.memoryKiB, 1))
	pass := func(passes, memory uint64) {
		if passes > 0 && memory >= 8*uint64(f.lanes) { // the least that Argon2 works with
			argon2.IDKey([]byte(password), make([]byte, saltBytes), uint32(passes), uint32(memory), f.lanes, hashBytes)
		}
	}
	pass(load.work/memory, memory)
	pass(1, load.work%memory)
}
