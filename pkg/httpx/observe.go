package httpx

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

type requestMetrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	streams  *streamMetrics
	// series caches the children of both metrics, because a lookup by labels costs more than the
	// counting. It has one entry for each series.
	mu     sync.RWMutex
	series map[seriesKey]requestSeries
}

type seriesKey struct {
	method, route string
	status        int
}

type requestSeries struct {
	answered prometheus.Counter
	duration prometheus.Observer
}

func (m *requestMetrics) of(method, route string, status int) requestSeries {
	key := seriesKey{method, route, status}
	m.mu.RLock()
	s, ok := m.series[key]
	m.mu.RUnlock()
	if ok {
		return s
	}
	key.route = strings.Clone(route) // Fiber's strings may be used again
	s = requestSeries{m.requests.WithLabelValues(method, key.route, strconv.Itoa(status)),
		m.duration.WithLabelValues(method, key.route)}
	m.mu.Lock()
	m.series[key] = s
	m.mu.Unlock()
	return s
}

// DurationBuckets are the bounds, in seconds, of all histograms of request durations. They are the
// same everywhere, so that the histograms can be compared.
func DurationBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

func newRequestMetrics(reg prometheus.Registerer) *requestMetrics {
	m := &requestMetrics{
		series: map[seriesKey]requestSeries{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered, by method, route template and status.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from the first handler to the answer.",
			Buckets: DurationBuckets(),
		}, []string{"method", "route"}),
		streams: newStreamMetrics(reg),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration)
	}
	return m
}

// observe wraps every request with its request id, time limit, span, metrics and log line. Label
// values are only route templates and known methods, so that no client can create new series. The
// log line has no path, no query and no header, so that it cannot contain a credential.
func (s *Server) observe(c *fiber.Ctx) error {
	start := time.Now()
	s.ensureRequestID(c)
	cancel := s.timeout(c)
	defer cancel()
	span := s.startSpan(c)
	if err := c.Next(); err != nil {
		if err := s.fail(c, err); err != nil {
			span.End()
			return err
		}
	}
	s.seen(c, start)
	if st := knownOf(c).stream; st != nil && !c.Context().IsHead() {
		s.hijack(c, st, start, span)
		return nil
	}
	endSpan(c, span)
	return nil
}

// facts are what the log line of a request says, besides its result.
type facts struct {
	requestID, method, route, userID, clientAddr string
	status                                       int
	logged                                       bool
}

func factsOf(c *fiber.Ctx) facts {
	k := knownOf(c)
	return facts{requestID: k.requestID, method: knownMethod(c.Method()), route: RouteName(c), userID: k.caller.UserID,
		clientAddr: clientAddr(c), status: c.Response().StatusCode(), logged: !k.unlogged}
}

// seen counts and logs an answered request; the line about a stream follows when the stream ends.
// While the server stops, it also tells the client to close the connection.
func (s *Server) seen(c *fiber.Ctx, start time.Time) {
	if s.stopping.Load() {
		c.Response().SetConnectionClose()
	}
	took := time.Since(start)
	series := s.metrics.of(knownMethod(c.Method()), RouteName(c), c.Response().StatusCode())
	series.answered.Inc()
	series.duration.Observe(took.Seconds())
	if knownOf(c).stream == nil && s.o.Log.Enabled(c.UserContext(), slog.LevelInfo) {
		s.logRequest(c.UserContext(), s.logger(c), factsOf(c), took, answerBytes(c.Response()))
	}
}

func (s *Server) logRequest(ctx context.Context, log *slog.Logger, f facts, took time.Duration, bytes int) {
	if f.status < 400 && (s.o.LogErrorsOnly || !f.logged) {
		return
	}
	log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("request_id", f.requestID), slog.String("method", f.method), slog.String("route", f.route),
		slog.Int("status", f.status), slog.Duration("took", took), slog.String("user_id", f.userID),
		slog.String("client_addr", f.clientAddr), slog.Int("bytes", bytes))
}

// answerBytes returns the length of an answer's body, -1 for a streamed answer, whose body would
// have to be read.
func answerBytes(r *fasthttp.Response) int {
	if r.IsBodyStream() {
		return max(r.Header.ContentLength(), -1)
	}
	return len(r.Body())
}

// SetRoute sets the template of the request's route, for a server that does not route through
// Fiber.
func SetRoute(c *fiber.Ctx, template string) { knownOf(c).route = template }

// RouteName returns the template of the request's route, "(none)" when no route matched.
func RouteName(c *fiber.Ctx) string {
	if name := knownOf(c).route; name != "" {
		return name
	}
	// When no route matches, Fiber makes a route without handlers from the path, so a client could
	// create any number of names.
	if r := c.Route(); r != nil && len(r.Handlers) > 0 && r.Path != "/" && r.Path != "" {
		return r.Path
	}
	return "(none)"
}

// otherMethod is the label of every method that RFC 9110 does not define.
const otherMethod = "OTHER"

func knownMethod(m string) string {
	for _, known := range fiber.DefaultMethods {
		if m == known {
			return known
		}
	}
	return otherMethod
}

// streamMetrics count streamed answers. The kind is "events" or "export".
type streamMetrics struct {
	open  *prometheus.GaugeVec
	bytes *prometheus.CounterVec
	ends  *prometheus.CounterVec
}

func newStreamMetrics(reg prometheus.Registerer) *streamMetrics {
	m := &streamMetrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "http_streams_open", Help: "Open streams, by kind (events or export).",
		}, []string{"kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_stream_bytes_total", Help: "Bytes of streamed answers, without the framing of chunks, by kind.",
		}, []string{"kind"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_streams_ended_total", Help: "Ended streams, by kind and reason.",
		}, []string{"kind", "reason"}),
	}
	for _, kind := range []string{kindEvents, kindExport} {
		m.open.WithLabelValues(kind)
		m.bytes.WithLabelValues(kind)
		for _, r := range []EndReason{EndRevoked, EndDraining, EndSlow, EndClient, EndUpstream, endComplete, endFailed} {
			m.ends.WithLabelValues(kind, string(r)) // a counter that appears with its first increment has no rate
		}
	}
	if reg != nil {
		reg.MustRegister(m.open, m.bytes, m.ends)
	}
	return m
}

const (
	kindEvents = "events"
	kindExport = "export"
)

func (st *stream) kind() string {
	if st.events {
		return kindEvents
	}
	return kindExport
}

func (m *streamMetrics) opened(st *stream) { m.open.WithLabelValues(st.kind()).Inc() }

func (m *streamMetrics) ended(st *stream, reason EndReason) {
	kind := st.kind()
	m.open.WithLabelValues(kind).Dec()
	m.ends.WithLabelValues(kind, string(reason)).Inc()
}
