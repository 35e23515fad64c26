package gateway

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAStopUnderLoadFailsNoRequestAndLosesNoEvent: clients go on until they get no connection. What
// the gateway took before it stopped it answers and records. Not every failure of a client is one
// of the gateway's: when a listener closes, the system resets the connections that it has
// established and nobody has accepted, and no program can keep it from doing so. Those brought
// nothing to the service, and that is what counts here. Nor are all events in the stream when the
// gateway has stopped, which waits only for a few seconds for the stream: the next start ships the
// rest.
func TestAStopUnderLoadFailsNoRequestAndLosesNoEvent(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Limits.User = ratelimit.Rate{}
		c.Service.StopTimeout = time.Hour
	})
	events := d.listen()
	ada := d.users.signIn(t)
	var answered atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				req, _ := http.NewRequest("POST", "http://"+d.addr+"/api/v1/auth/tokens", strings.NewReader("{}"))
				req.Header.Set("Authorization", "Bearer "+ada.token)
				res, err := client.Do(req)
				if err != nil {
					return // no connection, or one that nobody had accepted: see the comparison below
				}
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					t.Errorf("got %d", res.StatusCode)
				}
				answered.Add(1)
			}
		})
	}
	d.until("there is load", func() bool { return answered.Load() >= 200 })
	d.stop()
	wait.Wait()
	if taken := len(d.users.got()); int64(taken) != answered.Load() {
		t.Errorf("the service was asked %d times and %d answers arrived", taken, answered.Load())
	}
	d.start() // on the journal that the last one left
	d.until("every answered request is recorded",
		func() bool { return int64(len(events.of(ada.userID))) >= answered.Load() })
	if n := int64(len(events.of(ada.userID))); n != answered.Load() {
		t.Errorf("%d events, %d answers; %d events came once more", n, answered.Load(), events.twice())
	}
}

func TestAStopDoesNotWaitForAServiceThatHangs(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Service.StopTimeout = time.Hour })
	token, _ := d.users.authToken()
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	d.users.answers(func(w http.ResponseWriter, r seen) {
		if strings.HasSuffix(r.target, "/used") {
			close(asked)
			<-release
		}
		d.users.serve(w, r)
	})
	d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: token})
	<-asked
	d.stop() // the service answers afterwards
}

// TestNothingIsLeftBehind is not parallel: it looks at every goroutine of the process.
func TestNothingIsLeftBehind(t *testing.T) {
	users, vault, activity := startUsers(t), startService(t, "vault-svc"), startService(t, "activity-svc")
	d := &testGateway{t: t, users: users, vault: vault, activity: activity, broker: testkit.StartNATS(t),
		redis: testkit.Redis(t)}
	d.settings()
	before := goleak.IgnoreCurrent()
	for range 3 {
		d.start()
		ada := users.signIn(t)
		for i := range 20 {
			d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
			d.do(ask{method: "PUT", path: fmt.Sprintf("/api/v1/vault/keys/k%d", i), bearer: ada.token,
				body: strings.Repeat("x", 300<<10)})
		}
		d.stop()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	users.CloseClientConnections()
	vault.CloseClientConnections()
	goleak.VerifyNone(t, before,
		// fasthttp keeps one clock for the process, and cleans a client's idle connections up every
		// ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.(*cache[...]).periodicCleanUp"),
	)
}

func TestIdleAndSlowConnectionsDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.ReadTimeout = time.Hour }) // nobody is sent away meanwhile
	var held []net.Conn
	for i := range 500 {
		c, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if i%2 == 0 {
			fmt.Fprint(c, "GET /api/v1/vault/keys HTTP/1.1\r\nHost: h\r\nX-Slow: ") // and never more
		}
	}
	ada := d.users.signIn(t)
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Errorf("got %d %s", r.status, r.raw)
	}
	for _, c := range held {
		_ = c.Close()
	}
}
