package passwords

import (
	"crypto/pbkdf2"
	"fmt"
	"math/bits"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// family is a group of password hashes with comparable work: Argon2id with the same lanes, in KiB
// times passes; bcrypt, in rounds; PBKDF2 with the same digest, in rounds.
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

// String returns the name of the family with its digest, as in pbkdf2-sha256.
func (f family) String() string {
	if f.digest != "" {
		return f.name + "-" + f.digest
	}
	return f.name
}

// costBounds is the range of work that an imported hash may cost.
type costBounds struct{ min, max uint64 }

const (
	// minArgonMemoryKiB is the least memory of an imported Argon2id hash: that of the smallest set
	// of parameters in OWASP's Password Storage Cheat Sheet.
	minArgonMemoryKiB = 7 << 10
	// maxArgonMemoryKiB lets each core of a small machine hold one hash.
	maxArgonMemoryKiB = 128 << 10
	maxArgonLanes     = 16
)

// bounds returns the range of work of imported hashes. The minimum for bcrypt and Argon2id is
// OWASP's (Password Storage Cheat Sheet, 2023). For PBKDF2 it is a sixth of OWASP's: most
// applications raised theirs only in 2023, and a hash stays until its user signs in again. The
// maximum is about ten times the work of a hash with the default settings, because each failed
// sign-in costs the maximum: see Work.
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

// cost returns an amount of work as text, in the terms of the family's hashes.
func (f family) cost(work uint64) string {
	switch f.name {
	case familyArgon2:
		return fmt.Sprintf("%d KiB times passes", work)
	case familyBcrypt:
		return fmt.Sprintf("cost %d", bits.Len64(work)-1)
	}
	return fmt.Sprintf("%d rounds", work)
}

// CheckImportable returns an error if a hash must not be imported: its format is unknown, it is so
// cheap that the password can be found from it, or so costly that it would slow down all sign-ins.
// The error is a text that can follow the field's name.
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

// Work holds, for each family of hashes that accounts have, the most work that checking a password
// costs. A failed sign-in does all of it, so that its time tells neither whether the account exists
// nor the family of its hash. It does equal work instead of waiting for an equal time, because that
// holds on any machine under any load.
type Work map[family]workload

// workload is an amount of work, with the memory of Argon2id hashes (0 for other families).
type workload struct {
	work      uint64
	memoryKiB uint32
}

// add raises the work of a family to that of the stored hash. Unless the hash has the current
// settings, its work counts at most up to the bound of imports, because one costly hash of an
// earlier release must not slow down all sign-ins.
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

// dummyHash does the work of hashes of the family and discards the results.
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

// dummyArgon2 makes as many passes over the whole memory as the work has, and one over less memory
// for the remainder.
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
