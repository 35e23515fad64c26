package journal

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
)

// The values of ACTIVITY_MODE: an event that cannot be recorded is counted as dropped, or its
// request is answered 503.
const (
	ModeBestEffort = "best_effort"
	ModeRequired   = "required"
)

// Config says how events survive on their way to JetStream.
type Config struct {
	Dir      string        `env:"JOURNAL_DIR" envDefault:"journal" doc:"Folder of the journal of events that JetStream does not have yet; one for each gateway."`
	MaxBytes int64         `env:"JOURNAL_MAX_BYTES" envDefault:"1073741824" doc:"Largest size of the journal."`
	MaxAge   time.Duration `env:"JOURNAL_MAX_AGE" envDefault:"168h" doc:"Age above which unshipped events are dropped (best_effort) or stop new requests (required); 0: no bound."`
	Sync     bool          `env:"JOURNAL_SYNC" envDefault:"false" doc:"Flush each event to the disk before its answer, so that a power loss loses none; killed processes lose none anyway."`
	Mode     string        `env:"ACTIVITY_MODE" envDefault:"best_effort" doc:"When an event cannot be written: best_effort answers and counts the event as dropped, required answers 503."`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.Mode == ModeBestEffort || c.Mode == ModeRequired, "ACTIVITY_MODE must be best_effort or required")
	p.Must(c.MaxBytes >= MinBytes, "JOURNAL_MAX_BYTES must be at least %d", MinBytes)
	p.Must(c.MaxAge >= 0, "JOURNAL_MAX_AGE must not be negative")
	return p.Err()
}
