package redisdb

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestRedisIsOneServerOrACluster(t *testing.T) {
	t.Parallel()
	server := testkit.Redis(t) // which can also act as a cluster of one node
	for _, c := range []struct {
		url     string
		cluster bool
	}{
		{server.URL(), false},
		{"redis://" + server.Addr() + "?addr=" + server.Addr(), true},
	} {
		rdb, err := Open(Config{URL: config.Secret(c.url)})
		if err != nil {
			t.Fatal(err)
		}
		if _, cluster := rdb.(*redis.ClusterClient); cluster != c.cluster {
			t.Errorf("%s: got a %T", c.url, rdb)
		}
		l, err := ratelimit.New(rdb, func(err error) { t.Errorf("%s: %v", c.url, err) })
		if err != nil {
			t.Fatal(err)
		}
		r := ratelimit.Rate{Count: 2, Period: time.Hour}
		for i, want := range []bool{true, true, false} {
			if got := l.Allow(t.Context(), c.url, r, 1).Allowed; got != want {
				t.Errorf("%s: event %d: %v, want %v", c.url, i+1, got, want)
			}
		}
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := len(server.Keys()); n != 2 {
		t.Errorf("%d keys in Redis, want 2: %v", n, server.Keys())
	}
}

func TestAMalformedURLIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"http://h:6379", "redis://u:hunter2@h:6379/x", "redis://u:hunter2@h:6379?addr=h2",
		"redis://u:hunter2@h:6379?addr=h2:1&unknown=1",
		"redis://u:hunter2@h:6379?master_name=m&unknown=1", "://hunter2", "redis://u:hunter2@h:6379?unknown=1",
	} {
		if rdb, err := Open(Config{URL: config.Secret(url)}); err == nil {
			_ = rdb.Close()
			t.Errorf("%s was taken", url)
		} else if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "REDIS_URL") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestARawPasswordIsReadWholeOrRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, password := range testkit.RawPasswords() {
		for _, url := range []string{"redis://:" + password + "@127.0.0.1:1",
			"rediss://u:" + password + "@127.0.0.1:1/0",
			"redis://u:" + password + "@127.0.0.1:1?addr=127.0.0.1:2", password} {
			rdb, err := Open(Config{URL: config.Secret(url)})
			if err != nil {
				if testkit.Leaks(err.Error()) || !strings.Contains(err.Error(), "percent-encode") {
					t.Errorf("%s: %v", url, err)
				}
				continue
			}
			if one, ok := rdb.(*redis.Client); ok &&
				(one.Options().Addr != "127.0.0.1:1" || one.Options().Password != password) {
				t.Errorf("%s: address %q, password %q", url, one.Options().Addr, one.Options().Password)
			}
			if strings.ContainsAny(password, "@/?#%[] \\\t") {
				t.Errorf("%s was taken", url)
			}
			_ = rdb.Close()
		}
	}
}

func TestSentinelIsAskedForTheServer(t *testing.T) {
	t.Parallel()
	rdb, err := Open(Config{URL: "redis://127.0.0.1:1?master_name=main&addr=127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if err := rdb.Ping(t.Context()).Err(); err == nil {
		t.Error("a master without sentinels")
	}
}
