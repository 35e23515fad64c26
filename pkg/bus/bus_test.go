package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestAnnouncementsReachEveryListenerAndAGapIsReported(t *testing.T) {
	t.Parallel()
	broker := testkit.StartNATS(t, func(o *server.Options) { o.JetStream = false })
	sender := connect(t, broker.URL())
	var mu sync.Mutex
	got := map[int][]string{}
	var gaps atomic.Int32
	for i := range 2 {
		stop, err := connect(t, broker.URL()).Listen("news", func(data []byte) {
			mu.Lock()
			defer mu.Unlock()
			got[i] = append(got[i], string(data))
		}, func() { gaps.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	heard := func(text string) func() error {
		return func() error {
			if err := sender.Announce("news", []byte(text)); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(got[0], text) || !slices.Contains(got[1], text) {
				return fmt.Errorf("heard %v", got)
			}
			return nil
		}
	}
	eventually(t, "before", heard("before"))
	broker.Restart()
	eventually(t, "after", heard("after"))
	eventually(t, "both listeners learn of the gap", func() error {
		if n := gaps.Load(); n < 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

func TestARefusedLoginIsTriedAgain(t *testing.T) {
	t.Parallel()
	password := func(p string) func(*server.Options) {
		return func(o *server.Options) { o.Username, o.Password = "realmgate", p }
	}
	broker := testkit.StartNATS(t, password("right"))
	var log testkit.Buffer
	url := config.Secret(strings.Replace(broker.URL(), "://", "://realmgate:right@", 1))
	c, err := bus.Connect(bus.Config{URL: url}, t.Name(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var got atomic.Int32
	consumed := make(chan error, 1)
	go func() {
		consumed <- c.Consume(t.Context(), consumer(), func(_ context.Context, batch []bus.Message) error {
			for _, m := range batch {
				got.Add(1)
				_ = m.Ack()
			}
			return nil
		})
	}()
	send := func(id string) func() error { return func() error { return store(c, id, id) } }
	eventually(t, "before", send("before"))
	broker.Restart(password("another"))
	eventually(t, "the log tells of the refusal", func() error {
		if !strings.Contains(log.String(), "NATS cannot be reached") ||
			!strings.Contains(strings.ToLower(log.String()), "authorization violation") {
			return errors.New(log.String())
		}
		if strings.Contains(log.String(), "right") {
			return errors.New("with the password: " + log.String())
		}
		return nil
	})
	time.Sleep(3 * time.Second) // the library gives up at the second refusal in a row
	if _, err := c.Publish("log.x", "meanwhile", "", nil); err == nil || !strings.Contains(err.Error(), "NATS") {
		t.Errorf("meanwhile: %v", err)
	}
	broker.Restart(password("right"))
	eventually(t, "after", send("after"))
	eventually(t, "both are consumed", func() error {
		if n := got.Load(); n != 2 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	select {
	case err := <-consumed:
		t.Errorf("the consumer ended: %v", err)
	default:
	}
}

func TestAMalformedAddressIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, url := range []config.Secret{
		"nats://user:hunter2@[::1", "http://hunter2", "/hunter2/x", "nats://", "", " ", "nats://h:4222/hunter2",
		"nats://h:0",
		"nats://h:hunter2",
		"nats://h:4222,http://hunter2",
	} {
		c, err := bus.Connect(bus.Config{URL: url}, "x", testkit.Log(t))
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "NATS_URL is not a URL such as nats://") ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", url.Reveal(), err)
		}
	}
	for _, url := range []config.Secret{"nats://127.0.0.1:1", "127.0.0.1:1", "127.0.0.1", "tls://u:p@127.0.0.1:1",
		"nats://127.0.0.1:1, nats://[::1]:1", "nats://token@127.0.0.1", "ws://127.0.0.1:1/nats"} {
		connect(t, url.Reveal())
	}
}

func TestARawPasswordIsReadWholeOrRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, password := range testkit.RawPasswords() {
		for _, url := range []string{
			"nats://u:" + password + "@127.0.0.1:1", "u:" + password + "@127.0.0.1",
			"nats://127.0.0.1:1,nats://" + password + "@127.0.0.1",
		} {
			err := bus.Config{URL: config.Secret(url)}.Validate()
			switch {
			case err == nil && strings.ContainsAny(password, "@/?#,%[] \\\t"):
				t.Errorf("%s was taken", url)
			case err != nil && (testkit.Leaks(err.Error()) || !strings.Contains(err.Error(), "percent-encode")):
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}

func TestAnUnreachableBrokerIsReported(t *testing.T) {
	t.Parallel()
	var log testkit.Buffer
	c, err := bus.Connect(bus.Config{URL: "nats://127.0.0.1:1"}, t.Name(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	eventually(t, "the log says so, with the cause", func() error {
		if text := log.String(); !strings.Contains(text, "NATS cannot be reached") ||
			!strings.Contains(text, "connection refused") {
			return errors.New(text)
		}
		return nil
	})
	time.Sleep(time.Second)
	if n := strings.Count(log.String(), "NATS cannot be reached"); n > 2 {
		t.Errorf("it says so %d times in a second", n)
	}
	if _, err := c.Publish("log.x", "1", "", nil); err == nil ||
		!strings.Contains(err.Error(), "NATS cannot be reached") {
		t.Errorf("Publish: %v", err)
	}
	if err := c.EnsureStream(t.Context(), stream()); err == nil ||
		!strings.Contains(err.Error(), "NATS cannot be reached") {
		t.Errorf("EnsureStream: %v", err)
	}
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "NATS cannot be reached") {
		t.Errorf("Ready: %v", err)
	}
}
