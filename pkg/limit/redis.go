package limit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/config"
)

// RedisConfig is the part of a service's settings that concerns Redis.
type RedisConfig struct {
	URL config.Secret `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379" doc:"Redis or Valkey: redis://user:password@host:6379/0."`
}

// silence keeps go-redis from writing lines of its own, with addresses in them, past the service's logger: each failure is an error that some
// caller already gets. The library has one logger for the whole process.
var silence = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// OpenRedis returns a client that answers fast or not at all: 100 ms for everything and no second try, because each user of Redis has another
// way to go on. The caller closes it.
func OpenRedis(c RedisConfig) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(c.URL.Reveal())
	if err != nil {
		return nil, errors.New("REDIS_URL is not a Redis URL (redis://host:6379)") // the library's text could quote the password
	}
	silence()
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	o.MaxRetries = -1
	o.DialerRetries = 1
	return redis.NewClient(o), nil
}
