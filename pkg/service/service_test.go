package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func quietRuntime() Runtime {
	return Runtime{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
		Version: "test"}
}

func settings() Config {
	return Config{AdminAddr: "127.0.0.1:0", StopTimeout: 5 * time.Second, LogFormat: "json", LogRequests: "all"}
}

// diary records events in their order.
type diary struct {
	sync.Mutex
	lines []string
}

func (d *diary) note(s string) { d.Lock(); d.lines = append(d.lines, s); d.Unlock() }

func (d *diary) read() string { d.Lock(); defer d.Unlock(); return strings.Join(d.lines, " ") }

func TestPartsStopInReverseOrderAndAreWaitedFor(t *testing.T) {
	t.Parallel()
	s, err := New("test", settings(), quietRuntime())
	if err != nil {
		t.Fatal(err)
	}
	var d diary
	s.OnStop("pool", func(context.Context) error { d.note("pool"); return nil })
	s.Go("job", func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond)
		d.note("job")
		return nil
	})
	s.OnStop("conn", func(context.Context) error { d.note("conn"); return nil })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := d.read(), "conn job pool"; got != want {
		t.Errorf("stopped in the order %q, want %q", got, want)
	}
}

func TestAPartThatDoesNotStopLeavesTimeToTheOthers(t *testing.T) {
	t.Parallel()
	cfg := settings()
	cfg.StopTimeout = time.Second
	s, err := New("test", cfg, quietRuntime())
	if err != nil {
		t.Fatal(err)
	}
	var d diary
	release := make(chan struct{})
	defer close(release)
	s.OnStop("journal", func(ctx context.Context) error {
		if ctx.Err() == nil {
			d.note("journal in time")
		}
		return nil
	})
	for _, name := range []string{"shipper", "door"} {
		s.Go(name, func(context.Context) error { <-release; return nil })
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	err = s.Run(ctx)
	if d.read() != "journal in time" {
		t.Errorf("%q, want the last part to have time", d.read())
	}
	for _, want := range []string{"stop shipper", "stop door"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want %q in it", err, want)
		}
	}
}

func TestAFailingPartStopsTheServiceAndIsReported(t *testing.T) {
	t.Parallel()
	s, err := New("test", settings(), quietRuntime())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	s.Go("job", func(context.Context) error { return broken })
	if err := s.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Run = %v, want the failure of the part", err)
	}
}

func TestReadinessFollowsChecksAndDraining(t *testing.T) {
	t.Parallel()
	cfg := settings()
	cfg.DrainDelay = 300 * time.Millisecond
	s, err := New("test", cfg, quietRuntime())
	if err != nil {
		t.Fatal(err)
	}
	var down error
	var mu sync.Mutex
	s.Ready("database", func(context.Context) error { mu.Lock(); defer mu.Unlock(); return down })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ask := func() (int, string) {
		res, err := http.Get("http://" + s.AdminAddr() + "/readyz")
		if err != nil {
			return 0, err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	waitFor(t, func() bool { status, _ := ask(); return status == 200 })
	mu.Lock()
	down = errors.New("is away")
	mu.Unlock()
	if status, body := ask(); status != 503 || !strings.Contains(body, "is away") {
		t.Errorf("with a failing check: %d %s", status, body)
	}
	mu.Lock()
	down = nil
	mu.Unlock()
	cancel()
	waitFor(t, func() bool { status, body := ask(); return status == 503 && strings.Contains(body, "draining") })
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestASecondSignalEndsTheDrainDelay(t *testing.T) {
	t.Parallel()
	cfg := settings()
	cfg.DrainDelay = time.Hour
	s, err := New("test", cfg, quietRuntime())
	if err != nil {
		t.Fatal(err)
	}
	var d diary
	s.OnStop("pool", func(context.Context) error { d.note("pool"); return nil })
	now := make(chan struct{})
	ctx, first := context.WithCancel(withDrainNow(t.Context(), now))
	done := make(chan error, 1)
	go func() { done <- RunAll(ctx, s) }()
	first()
	select {
	case err := <-done:
		t.Fatalf("stopped with the first signal: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(now)
	if err := <-done; err != nil || d.read() != "pool" {
		t.Errorf("after the second signal: %v, stopped %q; want an orderly stop", err, d.read())
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("waited in vain")
}

func TestServicesOfOneProcessStopTheLastFirst(t *testing.T) {
	t.Parallel()
	var d diary
	var all []*Service
	for _, name := range []string{"users", "vault", "gateway"} {
		s, err := New(name, settings(), quietRuntime())
		if err != nil {
			t.Fatal(err)
		}
		s.OnStop("mark", func(context.Context) error { d.note(name); return nil })
		all = append(all, s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := RunAll(ctx, all...); err != nil {
		t.Fatal(err)
	}
	if got, want := d.read(), "gateway vault users"; got != want {
		t.Errorf("stopped in the order %q, want %q", got, want)
	}
}

func TestNewFailsWhenThePortIsInUse(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg := settings()
	cfg.AdminAddr = ln.Addr().String()
	if _, err := New("test", cfg, quietRuntime()); err == nil || !strings.Contains(err.Error(), "ADMIN_ADDR") {
		t.Errorf("New on a taken port: %v", err)
	}
}

type testSettings struct {
	Service Config
	Word    string `env:"WORD,required" doc:"A word."`
}

func TestMainExitsWithTheRightCode(t *testing.T) {
	t.Parallel()
	p := Program[testSettings]{
		Name: "test", Base: func(c *testSettings) *Config { return &c.Service },
		New: func(context.Context, testSettings, Runtime) (*Service, error) { return nil, errors.New("no database") },
		Commands: []Command[testSettings]{{Name: "say word", Doc: "says it",
			Run: func(_ context.Context, c testSettings, _ Runtime, args []string, out io.Writer) error {
				_, err := io.WriteString(out, c.Word+strings.Join(args, ","))
				return err
			}}},
	}
	for _, c := range []struct {
		name    string
		args    []string
		environ []string
		code    int
		says    string
	}{
		{"the settings table needs no settings", []string{"-config"}, nil, 0, "WORD"},
		{"a missing setting", nil, nil, 2, "WORD"},
		{"a wrong flag", []string{"-nonsense"}, nil, 2, "nonsense"},
		{"a failing start", nil, []string{"WORD=x"}, 1, "no database"},
		{"a command with arguments", []string{"say", "word", "a", "b"}, []string{"WORD=x"}, 0, "xa,b"},
		{"help", []string{"-h"}, nil, 0, "say word"},
		{"migrations of a program without a database", []string{"-migrate"}, []string{"WORD=x"}, 2,
			"-migrate is for services with a database"},
		{"health of a process on any port", []string{"-health"}, []string{"WORD=x"}, 1, "ADMIN_ADDR is 127.0.0.1:0"},
		{"an unknown command", []string{"shout"}, []string{"WORD=x"}, 2, "shout"},
		{"the version", []string{"-version"}, nil, 0, "test"},
	} {
		var out bytes.Buffer
		if code := p.run(c.args, c.environ, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit %d, want %d; said %q, want %q in it", c.name, code, c.code, out.String(), c.says)
		}
	}
	if slices.Contains([]string{"", "()"}, Version()) {
		t.Error("no version")
	}
}

// TestTheAdminPortAnswersWhileTheServiceStarts, so that an orchestrator does not restart a process
// that waits for its database.
func TestTheAdminPortAnswersWhileTheServiceStarts(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	rt := quietRuntime()
	rt.Log, rt.Version = slog.New(slog.NewTextHandler(&log, nil)), "1.2.3 0123456789ab"
	asked, broken := "", errors.New("the start failed")
	_, err := Build(t.Context(), "test", settings(), rt, func(s *Service) error {
		s.Ready("database", func(context.Context) error {
			t.Error("a check is made while checks are being declared")
			return nil
		})
		for path, want := range map[string]string{"/livez": "200 ok", "/readyz": `503 {"service":"starting"}`,
			"/metrics": "200 # HELP"} {
			res, err := http.Get("http://" + s.AdminAddr() + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got := fmt.Sprint(res.StatusCode, " ", string(body)); !strings.HasPrefix(got, want) {
				t.Errorf("%s while it starts: %.60s, want %s", path, got, want)
			}
		}
		asked = s.AdminAddr()
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", asked); err == nil {
		conn.Close()
		t.Error("the admin port is open after a start that failed")
	}
	if want := `msg=starting version="1.2.3 0123456789ab" admin_addr=` + asked; !strings.Contains(log.String(), want) {
		t.Errorf("the log has no line %q:\n%s", want, log.String())
	}
}

func TestEveryLineOfTheLogNamesItsServiceOnce(t *testing.T) {
	t.Parallel()
	p := Program[testSettings]{
		Name: "test", Base: func(c *testSettings) *Config { return &c.Service },
		New: func(_ context.Context, c testSettings, rt Runtime) (*Service, error) {
			s, err := New("test", c.Service, rt)
			if err == nil {
				s.Go("job", func(context.Context) error { return errors.New("done") })
			}
			return s, err
		},
	}
	var out bytes.Buffer
	code := p.run(nil, []string{"WORD=x"}, &out, &out)
	for _, said := range []string{"serving", "stopped"} {
		i := slices.IndexFunc(strings.Split(out.String(), "\n"), func(line string) bool {
			return strings.Contains(line, said) && strings.Count(line, `"service":"test"`) == 1
		})
		if i < 0 {
			t.Errorf("exit %d, no line %q that names the service once in\n%s", code, said, out.String())
		}
	}
}

func TestAJobThatFailsRunsAgain(t *testing.T) {
	t.Parallel()
	s, err := New("test", settings(), quietRuntime())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	s.Every("job", time.Millisecond, func(context.Context) error {
		if runs++; runs == 3 {
			cancel()
		}
		return errors.New("not yet")
	})
	if err := s.Run(ctx); err != nil || runs < 3 {
		t.Errorf("%d runs, %v; want at least 3 and an orderly stop", runs, err)
	}
}
