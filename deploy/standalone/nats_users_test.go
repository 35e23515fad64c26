package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// natsOf starts a server with the users of the secrets in dir. It returns a function for the
// addresses of services.
func natsOf(t *testing.T, dir string) (address func(file string) string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "nats.conf")
	text := "include \"" + strings.Repeat("../", strings.Count(filepath.Dir(conf), "/")) +
		strings.TrimPrefix(dir, "/") +
		"/nats/users.conf\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	given, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	broker := testkit.StartNATS(t, func(o *server.Options) { o.Users = given.Users })
	host, err := url.Parse(broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	return func(file string) string {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(content), "@nats:4222", "@"+host.Host, 1)
	}
}

// sendEvents creates the stream of an installation, sends two events and receives them.
func sendEvents(ctx context.Context, t *testing.T, gateway, activity *bus.Conn, installation string) {
	t.Helper()
	names := event.NamesOf(installation)
	stream := bus.StreamConfig{Name: names.Stream, Subjects: []string{names.Subject}, MaxBytes: 1 << 20,
		DupWindow: time.Minute, Owner: installation}
	got := make(chan string, 10)
	consuming, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- activity.Consume(consuming, bus.ConsumerConfig{
			Stream: stream, Durable: names.Consumer, MaxBatch: 10, MaxWait: time.Millisecond, AckWait: 5 * time.Second,
		}, func(_ context.Context, batch []bus.Message) error {
			for _, m := range batch {
				got <- string(m.Data)
				if err := m.Ack(); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
	}()
	publish := func(c *bus.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return c.Store(ctx, names.Subject, []byte("event"))
	}
	for err := publish(gateway); err != nil; err = publish(gateway) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if err := publish(activity); err != nil { // its health probe
		t.Error(err)
	}
	for range 2 {
		if data := <-got; data != "event" {
			t.Errorf("got %q", data)
		}
	}
	if _, err := activity.State(ctx, names.Stream, names.Consumer); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestEachServiceHasANATSUserWithTheRightsItNeeds sends an event and a session change through real
// connections.
func TestEachServiceHasANATSUserWithTheRightsItNeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	address := natsOf(t, dir)
	connect := func(service string) *bus.Conn {
		c, err := bus.Connect(bus.Config{URL: config.Secret(address(service + "/nats-user-url"))}, service,
			testkit.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	gateway, users, activity := connect("gateway"), connect("users-svc"), connect("activity-svc")
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	for _, installation := range []string{"0123456789abcdef01234567", ""} {
		sendEvents(ctx, t, gateway, activity, installation)
	}
	heard := make(chan []byte, 1)
	stop, err := gateway.Listen(sessionstate.Subject, func(data []byte) { heard <- data }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for ctx.Err() == nil {
		if err := users.Announce(sessionstate.Subject, []byte("change")); err != nil {
			t.Log(err)
		}
		select {
		case <-heard:
			return
		case <-time.After(100 * time.Millisecond): // the subscription may not be there yet
		}
	}
	t.Error("the gateway hears no change of a session")
}

// TestACompromisedServiceReachesNothingElseOnNATS tries operations of the other services.
func TestACompromisedServiceReachesNothingElseOnNATS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	address := natsOf(t, dir)
	for _, c := range []struct{ service, publish, subscribe string }{
		{"activity-svc", sessionstate.Subject, sessionstate.Subject},
		{"activity-svc", "realmgate.0123456789abcdef01234567.sessions.changed", "activity.>"},
		{"activity-svc", "_INBOX.gateway.x", "_INBOX.gateway.>"},
		{"activity-svc", "$JS.API.STREAM.DELETE.ACTIVITY", ">"},
		{"users-svc", "activity.requests", "_INBOX.>"},
		{"users-svc", "$JS.API.STREAM.INFO.ACTIVITY", "activity.*.requests"},
		{"users-svc", "$JS.ACK.x", sessionstate.Subject},
		{"vault-svc", sessionstate.Subject, sessionstate.Subject},
		{"vault-svc", "activity.requests", "realmgate.>"},
		{"gateway", sessionstate.Subject, "activity.>"},
		{"gateway", "$JS.API.STREAM.DELETE.ACTIVITY", "_INBOX.activity-svc.>"},
		{"gateway", "$JS.API.CONSUMER.MSG.NEXT.ACTIVITY.activity-svc", ">"},
	} {
		refused := make(chan error, 10)
		nc, err := nats.Connect(address(c.service+"/nats-user-url"),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		_, subErr := nc.SubscribeSync(c.subscribe)
		if err := errors.Join(nc.Publish(c.publish, []byte("x")), subErr, nc.Flush()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			select {
			case <-refused: //nolint:errcheck // the error is the refusal
			case <-time.After(testkit.Patience):
				t.Errorf("%s may publish to %s or subscribe to %s", c.service, c.publish, c.subscribe)
			}
		}
	}
	for _, login := range []*url.Userinfo{url.UserPassword("realmgate", ""), url.User("realmgate"), nil} {
		u, _ := url.Parse(address("gateway/nats-user-url"))
		if u.User = login; login == nil {
			u.User = nil
		}
		if nc, err := nats.Connect(u.String()); err == nil {
			nc.Close()
			t.Errorf("%v lets in", login)
		}
	}
}

// TestTheSharedUserOfNATSLastsUntilItIsDropped: processes of the previous release keep running
// during an update, and the operator can go back to it.
func TestTheSharedUserOfNATSLastsUntilItIsDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, masterFolder, "secrets/nats"), []byte("SHARED"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	shared := natsOf(t, dir)("activity-svc/nats-url")
	c, err := nats.Connect(shared)
	if err != nil {
		t.Fatalf("%s: %v", shared, err)
	}
	c.Close()
	if err := dropOldSecrets(dir); err != nil {
		t.Fatal(err)
	}
	users := readAll(t, dir)["nats/users.conf"]
	if strings.Contains(users, "SHARED") || strings.Contains(users, "realmgate\"") {
		t.Errorf("the shared user is still there:\n%s", users)
	}
}
