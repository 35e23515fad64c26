// Package quota owns the rule for how large the body of a vault write may be, which the gateway and
// vault-svc must agree on. Start reading at MaxBody.
package quota

const megabyte = 1 << 20

// LargestBody is the most that any body may have: what PostgreSQL takes in one message, which ends
// short of a gigabyte.
const LargestBody = 1000 * megabyte

const (
	// longestSpelling is how many bytes of JSON one byte of a value may take: \u0000 (RFC 8259,
	// section 7).
	longestSpelling = 6
	// envelope is the room beside the value: metadata in its longest spelling, names and white
	// space.
	envelope = 2 * megabyte
	// leastBody passes whatever the quota is, so that a value from before it was lowered may still
	// shrink.
	leastBody = 110 * megabyte
)

// MaxBody returns the most bytes that the body of a vault write may have, so that every value fits
// which a quota of so many bytes allows, however JSON spells it.
func MaxBody(quota int64) int64 {
	if quota >= LargestBody/longestSpelling {
		return LargestBody
	}
	return max(longestSpelling*quota+envelope, leastBody)
}
