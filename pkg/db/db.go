// Package db provides access to PostgreSQL: the pool, transactions, the meaning of database errors,
// and migrations. The SQL itself stands in the services' packages. Start reading at Open and InTx.
package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Config is the part of a service's settings that concerns its database.
type Config struct {
	URL      config.Secret `env:"DATABASE_URL,required" doc:"PostgreSQL itself, no pooler that shares sessions, for example postgres://user:password@host:5432/realmgate."`
	MaxConns int32         `env:"DATABASE_MAX_CONNS" envDefault:"10" doc:"Most connections that one process opens."`
	// Timeout is given to PostgreSQL as statement_timeout.
	Timeout time.Duration `env:"DATABASE_STATEMENT_TIMEOUT" envDefault:"30s" doc:"A statement that runs longer is cancelled; 0s: never."`
	Migrate bool          `env:"DATABASE_MIGRATE" envDefault:"true" doc:"Bring the schema up to date at start; one process at a time."`
}

// longestTimeout is the maximum of statement_timeout, a 32-bit number of milliseconds.
const longestTimeout = math.MaxInt32 * time.Millisecond

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	_, err := c.parse()
	p.Must(err == nil, "%w", err)
	p.Must(c.MaxConns >= 1, "DATABASE_MAX_CONNS must be at least 1")
	p.Must(c.Timeout == 0 || c.Timeout >= time.Millisecond && c.Timeout <= longestTimeout,
		"DATABASE_STATEMENT_TIMEOUT must be 0s or from 1ms to %s", longestTimeout)
	return p.Err()
}

// exampleURL is the example of DATABASE_URL in error messages.
const exampleURL = "postgres://user:password@host:5432/database"

func (c Config) parse() (*pgxpool.Config, error) {
	if _, err := config.SecretURL("DATABASE_URL", c.URL.Reveal(), exampleURL, "postgres", "postgresql"); err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(c.URL.Reveal())
	if err != nil {
		return nil, config.SecretURLError("DATABASE_URL", exampleURL) // pgx's text may quote the password
	}
	return pc, nil
}

// Pool is a pool of connections whose search path is one schema.
type Pool = pgxpool.Pool

// Option changes the settings of a pool's connections.
type Option func(*pgxpool.Config)

// GenericPlans makes PostgreSQL plan each statement once for a connection (plan_cache_mode,
// PostgreSQL 12 and later). It is for a service whose plans need not depend on the parameters. By
// default PostgreSQL expects ten rows of unnest($1) and plans such a statement again for every
// shorter array, and the planning costs more than the look-up of some rows. A plan that was made
// for an empty table lasts until PostgreSQL has analysed the table again, after a minute or so.
func GenericPlans(c *pgxpool.Config) {
	c.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
}

// Open returns a pool for schema without waiting for the database to answer. The caller closes it.
// Statements are traced unless traces is nil.
func Open(ctx context.Context, c Config, schema string, reg prometheus.Registerer, traces *trace.Provider,
	options ...Option) (*Pool, error) {
	pc, err := c.parse()
	if err != nil {
		return nil, err
	}
	pc.MaxConns = c.MaxConns
	pc.MaxConnLifetime = time.Hour
	pc.MaxConnLifetimeJitter = 10 * time.Minute
	pc.ConnConfig.ConnectTimeout = 5 * time.Second
	pc.ConnConfig.RuntimeParams["search_path"] = schema
	pc.ConnConfig.RuntimeParams["application_name"] = schema
	pc.ConnConfig.RuntimeParams["timezone"] = "UTC"
	pc.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(c.Timeout.Milliseconds())
	for _, o := range options {
		o(pc)
	}
	if traces != nil {
		pc.ConnConfig.Tracer = &tracer{traces: traces, schema: schema}
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	if reg != nil {
		reg.MustRegister(newPoolMetrics(pool))
	}
	return pool, nil
}

// maxAttempts bounds the attempts to run a transaction that PostgreSQL ended for a conflict.
const maxAttempts = 5

// InTx runs f in one transaction, which is committed when f returns nil and else rolled back. A
// transaction that PostgreSQL ended for a deadlock or a serialization failure is run again, so f
// must have no effect outside of the transaction.
func InTx(ctx context.Context, pool *Pool, f func(tx pgx.Tx) error) error {
	return Retry(func() error { return pgx.BeginFunc(ctx, pool, f) })
}

// Retry runs f again as InTx does, for a statement that is a transaction of its own.
func Retry(f func() error) error {
	var err error
	for range maxAttempts {
		if err = f(); !retryable(err) {
			return err
		}
	}
	return err
}

func retryable(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pe.Code == "40001" || pe.Code == "40P01") // serialization_failure, deadlock_detected
}

// Constraint returns the name of the constraint that err broke, "" when it broke none.
func Constraint(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.ConstraintName
	}
	return ""
}

// IsNoRows reports whether err means that a query found no row.
func IsNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// Classify returns 503 SERVICE_UNAVAILABLE for an error that means that the database is
// unreachable, full or too slow, and nil for others.
func Classify(err error) *apperr.Error {
	// every error of a new connection means that there is none
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return apperr.ServiceUnavailable(err)
	}
	var netErr net.Error
	switch pe, isPg := errors.AsType[*pgconn.PgError](err); {
	case isPg:
		switch pe.Code[:2] {
		// connection exception, insufficient resources, operator intervention, system error
		case "08", "53", "57", "58":
			return apperr.ServiceUnavailable(err)
		}
		if pe.Code == "25006" || retryable(err) { // 25006: read-only transaction, on a standby
			return apperr.ServiceUnavailable(err)
		}
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &netErr),
		pgconn.SafeToRetry(err):
		return apperr.ServiceUnavailable(err)
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return apperr.ServiceUnavailable(err)
	}
	return nil
}

type poolMetrics struct {
	pool                   *Pool
	conns, waits, acquires *prometheus.Desc
}

func newPoolMetrics(pool *Pool) poolMetrics {
	return poolMetrics{
		pool:  pool,
		conns: prometheus.NewDesc("db_pool_connections", "Connections of the pool by state.", []string{"state"}, nil),
		waits: prometheus.NewDesc("db_pool_waits_total", "Times that a connection was asked for and none was idle.",
			nil, nil),
		acquires: prometheus.NewDesc("db_pool_acquires_total", "Times that a connection was asked for and given.", nil,
			nil),
	}
}

// Describe lists the metrics of the pool.
func (m poolMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.conns
	ch <- m.waits
	ch <- m.acquires
}

// Collect reads the pool's own counters.
func (m poolMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.pool.Stat()
	ch <- prometheus.MustNewConstMetric(m.conns, prometheus.GaugeValue, float64(s.AcquiredConns()), "in_use")
	ch <- prometheus.MustNewConstMetric(m.conns, prometheus.GaugeValue, float64(s.IdleConns()), "idle")
	ch <- prometheus.MustNewConstMetric(m.waits, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
	ch <- prometheus.MustNewConstMetric(m.acquires, prometheus.CounterValue, float64(s.AcquireCount()))
}
