// Package streams provides what the gateway needs to pass server-sent events on: the places of open
// streams, of which every user has few, and the copying of whole events. Start reading at Places.
package streams

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/config"
)

// Config bounds the open event streams.
type Config struct {
	PerUser int `env:"STREAMS_PER_USER" envDefault:"5" doc:"Open event streams of one user; more are answered 429."`
	Max     int `env:"STREAMS_MAX" envDefault:"5000" doc:"Open event streams of this gateway, each with about 40 KB; more are answered 503."`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.PerUser >= 1, "STREAMS_PER_USER must be at least 1")
	p.Must(c.Max >= 1, "STREAMS_MAX must be at least 1")
	return p.Err()
}

// retryAfter is when a refused client should try again: the place of a client that left is free by
// then.
const retryAfter = 20 * time.Second

// Places bounds the open streams.
type Places struct {
	cfg     Config
	refused *prometheus.CounterVec

	mu     sync.Mutex
	taken  int
	byUser map[string]int
}

// NewPlaces returns the places of a gateway without streams, and registers their metrics.
func NewPlaces(cfg Config, reg prometheus.Registerer) *Places {
	p := &Places{cfg: cfg, byUser: map[string]int{}, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "streams_refused_total", Help: "Event streams refused, by the limit that was reached (user or gateway).",
	}, []string{"limit"})}
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "streams_max", Help: "Event streams that may be open: STREAMS_MAX.",
	})
	limit.Set(float64(cfg.Max))
	p.refused.WithLabelValues("user")
	p.refused.WithLabelValues("gateway")
	reg.MustRegister(p.refused, limit)
	return p
}

// Take takes a place for a stream of the user, which Release gives back. Errors: 429
// TOO_MANY_STREAMS when the user has no more, and 503 when the gateway has none.
func (p *Places) Take(user string) (*Place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.byUser[user] >= p.cfg.PerUser:
		p.refused.WithLabelValues("user").Inc()
		return nil, apperr.New(apperr.RateLimited, "TOO_MANY_STREAMS",
			"Too many open streams: end one of them first").WithRetryAfter(retryAfter)
	case p.taken >= p.cfg.Max:
		p.refused.WithLabelValues("gateway").Inc()
		return nil, apperr.ServiceUnavailable(errFull).WithRetryAfter(retryAfter)
	}
	p.taken++
	p.byUser[user]++
	return &Place{places: p, user: user}, nil
}

var errFull = errors.New("all places for streams are taken: STREAMS_MAX")

// Place is the place of one stream.
type Place struct {
	places *Places
	user   string
	once   sync.Once
}

// Release gives the place back; it may be called again.
func (p *Place) Release() {
	p.once.Do(func() {
		all := p.places
		all.mu.Lock()
		defer all.mu.Unlock()
		all.taken--
		if all.byUser[p.user]--; all.byUser[p.user] == 0 {
			delete(all.byUser, p.user)
		}
	})
}
