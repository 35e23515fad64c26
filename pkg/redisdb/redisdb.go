// Package redisdb provides the Redis settings that services share, and the client for one server, a
// cluster or Sentinel. Start reading at Open.
package redisdb

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config is the part of a service's settings that concerns Redis.
type Config struct {
	URL config.Secret `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379" doc:"Redis or Valkey: redis://user:password@host:6379/0, rediss:// with TLS; clusters and Sentinel: settings.md."`
	TLS TLSConfig
}

// exampleURL is the example of REDIS_URL in error messages.
const exampleURL = "redis://user:password@host:6379"

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	client, err := Open(c) // connects to nothing yet
	if err != nil {
		return err
	}
	return client.Close()
}

// silence stops go-redis from writing its own lines, which contain addresses, past the service's
// logger. Each failure is also an error that a caller gets. The library has one logger for the
// whole process.
var silence = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// timeout limits each operation of a client.
const timeout = 100 * time.Millisecond

// Open returns a client of one server, of a cluster, or of the server that sentinels name; the
// caller closes it. Every operation takes at most 100 ms and is tried once, because all code that
// uses Redis can work without it. Every command has one key, so a cluster works like one server.
func Open(c Config) (redis.UniversalClient, error) {
	silence()
	text := c.URL.Reveal()
	u, err := config.SecretURL("REDIS_URL", text, exampleURL, "redis", "rediss", "unix")
	if err != nil {
		return nil, err
	}
	invalid := config.SecretURLError("REDIS_URL", exampleURL) // the library's text may quote the password
	switch q := u.Query(); {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(text)
		if err != nil {
			return nil, invalid
		}
		if err := c.configure(&o.TLSConfig, &o.ContextTimeoutEnabled, &o.MaxRetries, &o.DialerRetries,
			&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout); err != nil {
			return nil, err
		}
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(text)
		if err != nil {
			return nil, invalid
		}
		if err := c.configure(&o.TLSConfig, &o.ContextTimeoutEnabled, &o.MaxRetries, &o.DialerRetries,
			&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout); err != nil {
			return nil, err
		}
		o.ClusterStateReloadInterval = time.Second // default: a minute without the successor of a dead node
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, invalid
	}
	if err := c.configure(&o.TLSConfig, &o.ContextTimeoutEnabled, &o.MaxRetries, &o.DialerRetries,
		&o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout); err != nil {
		return nil, err
	}
	return redis.NewClient(o), nil
}

// configure sets the fields that the three kinds of options have in common.
func (c Config) configure(tlsConfig **tls.Config, contextTimeout *bool, retries, dialerRetries *int,
	timeouts ...*time.Duration) (err error) {
	*contextTimeout, *retries, *dialerRetries = true, -1, 1
	for _, t := range timeouts {
		*t = timeout
	}
	*tlsConfig, err = c.TLS.config(*tlsConfig)
	return err
}
