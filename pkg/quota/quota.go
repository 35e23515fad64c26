// Package quota provides the rules about vault quotas on which the gateway and vault-svc must
// agree: the quota of a user, and the largest body of a write under it. Start reading at BodyLimit.
package quota

const megabyte = 1 << 20

// Nothing is the quota, as the session state and the internal identity carry it, of a user who may
// store nothing. Zero stands for the default quota there.
const Nothing = -1

// NothingStored is the quota in the database, in bytes, of a user who may store nothing; 0 stands
// for the default quota there. All other quotas are whole mebibytes.
const NothingStored = 1

// ToGateways returns the quota for the session state and the internal identity, where NothingStored
// becomes Nothing, because a quota of one byte would allow a byte.
func ToGateways(stored int64) int64 {
	if stored == NothingStored {
		return Nothing
	}
	return stored
}

// LargestBody is the largest body of all: PostgreSQL takes less than a gigabyte in one message.
const LargestBody = 1000 * megabyte

const (
	// bytesPerCharacter is the longest JSON spelling of one byte of a value: \u0000 (RFC 8259,
	// section 7).
	bytesPerCharacter = 6
	// envelope is the room beside the value: metadata in its longest spelling, names and white
	// space.
	envelope = 2 * megabyte
	// smallestLimit is the minimum for every quota, so that a value from before the quota was
	// lowered may still shrink.
	smallestLimit = 110 * megabyte
)

// Effective returns the quota in bytes of a user whose session state or identity carries own, where
// byDefault is the quota of users without one of their own.
func Effective(own, byDefault int64) int64 {
	if own == 0 {
		return byDefault
	}
	return max(own, 0)
}

// BodyLimit returns the most bytes that the body of a vault write may have. It leaves room for
// every value that the quota allows, however JSON spells it. An override, VAULT_MAX_BODY_MB in
// megabytes, replaces this limit when it is above 0.
func BodyLimit(quota, overrideMB int64) int64 {
	switch {
	case overrideMB > 0:
		return overrideMB * megabyte
	case quota >= LargestBody/bytesPerCharacter:
		return LargestBody
	}
	return max(bytesPerCharacter*quota+envelope, smallestLimit)
}
