package activity

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// Config are the settings of activity-svc.
type Config struct {
	Service      service.Config
	Addr         string `env:"ACTIVITY_ADDR" envDefault:"127.0.0.1:8083" doc:"Where the service answers the gateway."`
	TLS          tlsfiles.Internal
	DB           db.Config
	Bus          bus.Config
	InternalKeys config.Secret `env:"ACTIVITY_INTERNAL_KEYS" doc:"Required: comma-separated keys that only the gateway and this service have, at least 32 characters."`
	SharedKeys   config.Secret `env:"INTERNAL_KEYS" doc:"Deprecated: one list of keys for all services, accepted beside or instead of their own."`
	Retention    Retention     `env:"ACTIVITY_RETENTION" envDefault:"8760h" doc:"How long records are kept: a Go duration or days such as 365d; whole days, at least one."`
	Stream       StreamConfig
	Writers      int `env:"ACTIVITY_WRITERS" envDefault:"2" doc:"Batches that one process stores at the same time, 1 to 16."`
	// Batch is the most events of one transaction.
	Batch int `removed:"ACTIVITY_BATCH" envDefault:"1000"`
	// BatchWait is the longest time that an event waits for its batch to fill.
	BatchWait time.Duration `removed:"ACTIVITY_BATCH_WAIT" envDefault:"20ms"`
}

// StreamConfig are the settings of the stream that keeps the events until they are stored.
type StreamConfig struct {
	MaxBytes int64         `env:"ACTIVITY_STREAM_MAX_BYTES" envDefault:"1073741824" doc:"Size of the stream, which JetStream must have; when it is full the gateways keep their events."`
	MaxAge   time.Duration `env:"ACTIVITY_STREAM_MAX_AGE" envDefault:"0s" doc:"Age at which an event that was never stored is lost; 0s: never."`
	Replicas int           `env:"ACTIVITY_STREAM_REPLICAS" envDefault:"1" doc:"Copies of the stream in a JetStream cluster, 1 to 5."`
	// DupWindow is how long JetStream remembers ids to refuse a second copy. After that the database
	// refuses it.
	DupWindow time.Duration `removed:"ACTIVITY_STREAM_DUPLICATES" envDefault:"2m"`
	AckWait   time.Duration `env:"ACTIVITY_ACK_WAIT" envDefault:"5s" doc:"After which the events that a dead replica had in hand go to another, at least 1s."`
}

// minAckWait leaves a slow replica time to tell the stream that it is at work.
const minAckWait = time.Second

// minConns is the least number of database connections: maintenance keeps one, for its lock, while
// it works with another.
const minConns = 2

func (c Config) internalKeys(now func() time.Time) (*auth.InternalKeys, error) {
	return auth.ReadInternalKeys("ACTIVITY_INTERNAL_KEYS", c.InternalKeys.Reveal(), c.SharedKeys.Reveal(), now)
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("ACTIVITY_ADDR", c.Addr)
	_, err := c.internalKeys(time.Now)
	p.Must(err == nil, "%w", err)
	p.Must(c.DB.MaxConns >= minConns,
		"DATABASE_MAX_CONNS must be at least 2 for activity-svc: maintenance keeps one while it works with another")
	p.Must(c.Writers >= 1 && c.Writers <= 16, "ACTIVITY_WRITERS must be 1 to 16")
	p.Must(c.Stream.MaxBytes >= 1<<20, "ACTIVITY_STREAM_MAX_BYTES must be at least 1048576")
	p.Must(c.Stream.Replicas >= 1 && c.Stream.Replicas <= 5, "ACTIVITY_STREAM_REPLICAS must be 1 to 5")
	p.Must(c.Stream.MaxAge == 0 || c.Stream.MaxAge >= c.Stream.DupWindow,
		"ACTIVITY_STREAM_MAX_AGE must be 0s or at least %v", c.Stream.DupWindow)
	p.Must(c.Stream.AckWait >= minAckWait, "ACTIVITY_ACK_WAIT must be at least 1s")
	return p.Err()
}

// consumer returns the settings of the consumer of an installation's events; "" stands for the
// stream of an earlier release.
func (c Config) consumer(installation string) bus.ConsumerConfig {
	names := event.NamesOf(installation)
	return bus.ConsumerConfig{
		Stream: bus.StreamConfig{
			Name: names.Stream, Subjects: []string{names.Subject}, Owner: installation, MaxBytes: c.Stream.MaxBytes,
			MaxAge:   c.Stream.MaxAge,
			Replicas: c.Stream.Replicas, DupWindow: c.Stream.DupWindow,
		},
		Durable: names.Consumer, MaxBatch: c.Batch, Entries: event.Count, MaxWait: c.BatchWait, AckWait: c.Stream.AckWait,
	}
}

// Retention is how many days records are kept.
type Retention int

// maxRetention is ten years, because PostgreSQL plans for each partition of a table.
const maxRetention = 3660

// UnmarshalText reads a Go duration of whole days, or days as "365d".
func (r *Retention) UnmarshalText(text []byte) error {
	var days int
	var err error
	if number, ok := strings.CutSuffix(string(text), "d"); ok {
		days, err = strconv.Atoi(number)
	} else {
		var d time.Duration
		if d, err = time.ParseDuration(string(text)); err == nil && d%timerange.Day != 0 {
			err = errors.New("it is not whole days")
		}
		days = int(d / timerange.Day)
	}
	if err == nil && (days < 1 || days > maxRetention) {
		err = fmt.Errorf("it must be 1 to %d days", maxRetention)
	}
	*r = Retention(days)
	return err
}

// MarshalText writes the days.
func (r Retention) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(int(r)) + "d"), nil }

// firstDay returns the first day that is kept at the time now. A day is dropped as a whole once its
// last moment is too old.
func (r Retention) firstDay(now time.Time) time.Time {
	return timerange.DayOf(now).AddDate(0, 0, -int(r))
}
