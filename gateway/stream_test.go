package gateway

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/httpx"
)

func TestAStreamPassesTheGatewayEventByEvent(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t)
	events := d.listen()
	ada := d.users.signIn(t)
	stream := d.follow(watchPath+"?prefix=a.", "Bearer "+ada.token, "Last-Event-ID", "40")
	if got := stream.Header; stream.StatusCode != 200 || got.Get("Content-Type") != httpx.TypeEvents ||
		got.Get("Cache-Control") != "no-store" || got.Get("X-Request-Id") == "" || got.Get("Ratelimit-Limit") == "" {
		t.Fatalf("got %d %v", stream.StatusCode, got)
	}
	if got := <-s.last; got != "40" {
		t.Errorf("the service was told Last-Event-ID %q, want 40", got)
	}
	for _, data := range []string{"one", strings.Repeat("long", 10_000), "three"} {
		s.events <- data
	}
	got := ""
	for range 17 {
		line, err := stream.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got += line
	}
	put := func(data string) string { return "event: put\nid: 42\ndata: \"" + data + "\"\n\n" }
	if want := "retry: 1000\n\nevent: sync\nid: 41\ndata: {\"id\":\"41\"}\n\n" + put("one") +
		put(strings.Repeat("long", 10_000)) + put("three"); strings.Count(got, "event: sync") == 1 &&
		got[:len(want)-1] != want[:len(want)-1] {
		t.Errorf("got %.300q, want %.300q", got, want)
	}
	if n := len(events.of(ada.userID)); n != 0 {
		t.Errorf("%d events before the end of the stream", n)
	}
	_ = stream.Body.Close()
	d.until("the place is free", func() bool { return d.value("http_streams_open") == 0 })
	d.until("the service learned it", func() bool { return s.open.Load() == 0 })
	d.until("the stream is recorded", func() bool { return len(events.of(ada.userID)) == 1 })
	if e := events.of(ada.userID)[0]; e.Status != 200 || e.Path != watchPath || e.Method != "GET" ||
		e.AuthID != ada.sessionID || e.RequestID != stream.Header.Get("X-Request-Id") {
		t.Errorf("the event is %+v", e)
	}
	if d.value("http_streams_ended_total", "reason=client", "kind=events") != 1 {
		t.Error("the end of the stream is not counted")
	}
}

func TestAStreamIsRefusedWithAnEnvelope(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t, func(c *Config) { c.Streams.PerUser, c.Streams.Max = 2, 3 })
	ada, eve, bob := d.users.signIn(t), d.users.signIn(t), d.users.signIn(t)
	get := func(p person, query string) reply {
		return d.do(ask{method: "GET", path: watchPath + query, bearer: p.token})
	}
	for query, want := range map[string]string{"?prefix=invalid": "VALIDATION_ERROR",
		"?prefix=html": "SERVICE_UNAVAILABLE",
		"?other=1":     "VALIDATION_ERROR"} {
		if r := get(ada, query); r.code != want {
			t.Errorf("%s: got %d %s, want %s", query, r.status, r.raw, want)
		}
	}
	if r := d.do(ask{method: "HEAD", path: watchPath, bearer: ada.token}); r.status != 200 ||
		r.header.Get("Content-Type") != httpx.TypeEvents || r.raw != "" {
		t.Errorf("HEAD: %d %v %q", r.status, r.header, r.raw)
	}
	first := d.opened("Bearer " + ada.token)
	d.opened("Bearer " + ada.token)
	if r := get(ada, ""); r.status != 429 || r.code != "TOO_MANY_STREAMS" || r.header.Get("Retry-After") == "" {
		t.Errorf("the third of two streams: got %d %s %v", r.status, r.raw, r.header)
	}
	d.opened("Bearer " + eve.token)
	if r := get(bob, ""); r.status != 503 || r.code != "SERVICE_UNAVAILABLE" || r.header.Get("Retry-After") == "" {
		t.Errorf("the fourth of three streams: got %d %s %v", r.status, r.raw, r.header)
	}
	_ = first.Body.Close()
	d.until("the place of the client that left is free", func() bool { return s.open.Load() == 2 })
	d.until("another takes it", func() bool {
		r := d.follow(watchPath, "Bearer "+bob.token)
		return r.StatusCode == 200
	})
	for limit, want := range map[string]float64{"user": 1, "gateway": 1} {
		if got := d.value("streams_refused_total", "limit="+limit); got < want {
			t.Errorf("%v streams were refused by %s", got, limit)
		}
	}
	s.stop()
	if r := get(ada, ""); r.status != 503 || r.code != "SERVICE_UNAVAILABLE" {
		t.Errorf("without a service: got %d %s", r.status, r.raw)
	}
}

func TestAStopOfTheGatewayEndsStreams(t *testing.T) {
	t.Parallel()
	d, _ := startStreaming(t)
	events := d.listen()
	ada := d.users.signIn(t)
	stream := d.opened("Bearer " + ada.token)
	lazy := d.follow(watchPath+"?prefix=flood", "Bearer "+ada.token) // does not read
	d.stop()
	stream.ends("draining")
	_ = lazy.Body.Close()
	d.start()
	d.until("the streams are recorded", func() bool { return len(events.of(ada.userID)) == 2 })
	d.opened("Bearer " + ada.token)
}

func TestAStreamEndsWithItsService(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t)
	ada := d.users.signIn(t)
	broken := d.opened("Bearer " + ada.token)
	s.events <- "break"
	broken.ends("draining")
	drained := d.opened("Bearer " + ada.token)
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	drained.ends("draining")
	<-stopped
}

func TestASlowClientLosesItsStream(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t)
	ada := d.users.signIn(t)
	slow := d.follow(watchPath+"?prefix=flood", "Bearer "+ada.token)
	d.until("the stream ended", func() bool {
		return d.value("http_streams_ended_total", "reason=slow", "kind=events") == 1
	})
	d.until("the service learned it", func() bool { return s.open.Load() == 0 })
	_ = slow.Body.Close()
}

func TestAnExportThatBreaksOffEndsWithoutItsLastChunk(t *testing.T) {
	t.Parallel()
	d, s := startStreaming(t)
	events := d.listen()
	ada := d.users.signIn(t)
	export := d.follow(exportPath, "Bearer "+ada.token)
	if export.StatusCode != 200 || export.Header.Get("Content-Disposition") != `attachment; filename="a.ndjson"` {
		t.Fatalf("got %d %v", export.StatusCode, export.Header)
	}
	s.finish <- errors.New("the database is away")
	if got, err := export.rest(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %d bytes and %v, want an unexpected end", len(got), err)
	}
	d.until("it is recorded", func() bool { return len(events.of(ada.userID)) == 1 })
	e := events.of(ada.userID)[0]
	if e.Path != exportPath || e.Status != 200 {
		t.Errorf("the event is %+v", e)
	}
	if n := d.value("http_streams_ended_total", "reason=upstream", "kind=export"); n != 1 {
		t.Errorf("%v exports ended because of the service", n)
	}
}
