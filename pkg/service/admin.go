package service

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyTimeout bounds one /readyz.
const readyTimeout = 2 * time.Second

// adminHandler serves health, metrics and profiles: /livez answers 200 while the process runs,
// /readyz while it can serve.
func (s *Service) adminHandler(rt Runtime) http.Handler {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"service": s.name, "version": rt.Version},
	})
	build.Set(1)
	rt.Metrics.MustRegister(build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(rt.Metrics, promhttp.HandlerOpts{Registry: rt.Metrics}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (s *Service) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	status, report := s.CheckReady(ctx)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(report)
}

// CheckReady makes every readiness check and returns 200 or 503 and the result of each check, "ok"
// or its error. While the service starts it makes no check, because checks are still being
// declared.
func (s *Service) CheckReady(ctx context.Context) (int, map[string]string) {
	status, report := http.StatusOK, map[string]string{}
	switch s.state.Load() {
	case starting:
		return http.StatusServiceUnavailable, map[string]string{"service": "starting"}
	case draining:
		status, report["service"] = http.StatusServiceUnavailable, "draining"
	}
	for _, c := range s.ready {
		report[c.name] = "ok"
		if err := c.f(ctx); err != nil {
			report[c.name] = err.Error()
			if c.needed {
				status = http.StatusServiceUnavailable
			}
		}
	}
	return status, report
}
