package event

// unixEpoch begins the ids of 1970-01-01T00:00:00Z, the time of a probe.
const unixEpoch = "000000000000"

const probe = `{"id":"` + unixEpoch + unixEpoch + `","user_id":"` + unixEpoch + unixEpoch +
	`","method":"PROBE","path":"/","status":200}`

// Probe returns a message that proves that a stream stores what it is sent, as its other messages
// do. It is an event of 1970: a release that does not know probes counts it as older than its
// retention, and keeps nothing of it.
func Probe() []byte { return []byte(probe) }

// IsProbe reports whether an event that a message carries is a probe.
func IsProbe(data []byte) bool { return string(data) == probe }
