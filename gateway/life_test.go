package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAStopUnderLoadFailsNoRequestAndLosesNoEvent: clients go on until they are refused a connection.
func TestAStopUnderLoadFailsNoRequestAndLosesNoEvent(t *testing.T) {
	t.Parallel()
	d := openDoor(t)
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
					if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
						t.Errorf("a request under way failed: %v", err)
					}
					return // no connection: nothing was sent
				}
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					t.Errorf("got %d", res.StatusCode)
				}
				answered.Add(1)
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	d.stop()
	wait.Wait()
	d.until("every answered request is recorded", func() bool { return int64(len(events.of(ada.userID))) >= answered.Load() })
	if n := int64(len(events.of(ada.userID))); n != answered.Load() || n == 0 {
		t.Errorf("%d events, %d answers; %d events came once more", n, answered.Load(), events.twice())
	}
}

func TestAStopDoesNotWaitForAServiceThatHangs(t *testing.T) {
	t.Parallel()
	d := openDoor(t)
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
	start := time.Now()
	d.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// TestNothingIsLeftBehind is not parallel: it looks at every goroutine of the process.
func TestNothingIsLeftBehind(t *testing.T) {
	users, vault, activity := startUsers(t), startService(t, "vault-svc"), startService(t, "activity-svc")
	d := &door{t: t, users: users, vault: vault, activity: activity, broker: testkit.StartNATS(t), redis: testkit.Redis(t)}
	d.settings()
	before := goleak.IgnoreCurrent()
	for range 3 {
		d.start()
		ada := users.signIn(t)
		for i := range 20 {
			d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
			d.do(ask{method: "PUT", path: fmt.Sprintf("/api/v1/vault/keys/k%d", i), bearer: ada.token, body: strings.Repeat("x", 300<<10)})
		}
		d.stop()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	users.CloseClientConnections()
	vault.CloseClientConnections()
	goleak.VerifyNone(t, before,
		// fasthttp keeps one clock for the process, and cleans a client's idle connections up every ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.(*cache[...]).periodicCleanUp"),
	)
}

func TestIdleAndSlowConnectionsDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	d := openDoor(t)
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
	start := time.Now()
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 || time.Since(start) > 2*time.Second {
		t.Errorf("got %d after %v", r.status, time.Since(start))
	}
	for _, c := range held {
		_ = c.Close()
	}
}
