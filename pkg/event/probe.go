package event

// unixEpoch is the prefix of the ids of 1970-01-01T00:00:00Z, the time of a probe.
const unixEpoch = "000000000000"

const probe = `{"id":"` + unixEpoch + unixEpoch + `","user_id":"` + unixEpoch + unixEpoch +
	`","method":"PROBE","path":"/","status":200}`

// Probe returns a message that tests whether a stream stores messages. It is an event of 1970: a
// release that does not know probes counts it as older than its retention and drops it.
func Probe() []byte { return []byte(probe) }

// IsProbe reports whether an encoded event is a probe.
func IsProbe(data []byte) bool { return string(data) == probe }
