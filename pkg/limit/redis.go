package limit

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/config"
)

// RedisConfig is the part of a service's settings that concerns Redis.
type RedisConfig struct {
	URL   config.Secret `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379" doc:"Redis or Valkey: redis://user:password@host:6379/0 (rediss:// with TLS). A cluster: the other nodes as ?addr=host:6379&addr=…; behind Sentinel: the sentinels' addresses in the same way and master_name=…"`
	Files FilesConfig
}

// exampleURL is what REDIS_URL looks like.
const exampleURL = "redis://user:password@host:6379"

// Validate checks what tags cannot say.
func (c RedisConfig) Validate() error {
	client, err := OpenRedis(c) // connects to nothing yet
	if err != nil {
		return err
	}
	return client.Close()
}

// silence keeps go-redis from writing lines of its own, with addresses in them, past the service's logger: each failure is an error that some
// caller already gets. The library has one logger for the whole process.
var silence = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// OpenRedis returns a client of one server, of a cluster, or of the server that sentinels name. It answers fast or not at all: 100 ms for everything
// and no second try, because each user of Redis has another way to go on. Each command of theirs has one key, so a cluster serves as well as one
// server. The caller closes it.
func OpenRedis(c RedisConfig) (redis.UniversalClient, error) {
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
		hasten(&o.ContextTimeoutEnabled, &o.MaxRetries, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		if o.TLSConfig, err = c.Files.secure(o.TLSConfig); err != nil {
			return nil, err
		}
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(text)
		if err != nil {
			return nil, invalid
		}
		hasten(&o.ContextTimeoutEnabled, &o.MaxRetries, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
		if o.TLSConfig, err = c.Files.secure(o.TLSConfig); err != nil {
			return nil, err
		}
		o.ClusterStateReloadInterval = time.Second // or who took a dead node's place would not be asked for a minute
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, invalid
	}
	hasten(&o.ContextTimeoutEnabled, &o.MaxRetries, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.PoolTimeout)
	if o.TLSConfig, err = c.Files.secure(o.TLSConfig); err != nil {
		return nil, err
	}
	return redis.NewClient(o), nil
}

// hasten sets what makes a client fast or silent, which the three kinds of options have in fields of the same names.
func hasten(contextTimeout *bool, retries, dialerRetries *int, timeouts ...*time.Duration) {
	*contextTimeout, *retries, *dialerRetries = true, -1, 1
	for _, t := range timeouts {
		*t = 100 * time.Millisecond
	}
}
