package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// clientTrace is a traceparent as a client's own instrumentation sends it, with the sampled flag
// off.
const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan   = "00f067aa0ba902b7"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-00"
)

// TestOneTraceFromTheGatewayToTheInsertOfTheEvent writes a vault key and looks for all spans that
// follow from it.
func TestOneTraceFromTheGatewayToTheInsertOfTheEvent(t *testing.T) {
	t.Parallel()
	to := testkit.Traces(t)
	r := start(t, "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL, "OTEL_BSP_SCHEDULE_DELAY=50",
		"RATE_LIMIT_SIGNUP=off")
	ada := r.user("ada")
	const secret, queryRealm = "the-secret-value-7361", "881288128812881288128812"
	put := r.send(request{
		method: "PUT", path: "/api/v1/vault/keys/the.key.5921?realm_id=" + queryRealm, token: ada.Token,
		body: map[string]any{"value": secret},
		header: map[string]string{"traceparent": clientParent, "tracestate": "vendor=state-4410",
			"baggage": "who=baggage-4411"},
	}).want(t, "write a key", 201, "")

	var spans map[string]testkit.Span // of this trace, by service and name
	wanted := []string{
		"gateway PUT /api/v1/vault/keys/{key} SERVER", "gateway PUT /api/v1/vault/keys/{key} CLIENT",
		"vault-svc PUT /api/v1/vault/keys/:key SERVER",
		"activity-svc insert activity CONSUMER", "activity-svc COPY activity_svc CLIENT",
	}
	eventually(t, "the spans of the trace", func() bool {
		spans = map[string]testkit.Span{}
		for _, s := range to.Spans() {
			if s.TraceID == clientTrace {
				spans[s.Service+" "+s.Name+" "+s.Kind] = s
			}
		}
		return !slices.ContainsFunc(wanted, func(name string) bool { return spans[name].ID == "" })
	})
	server, call, vault, insert, copied := spans[wanted[0]], spans[wanted[1]], spans[wanted[2]], spans[wanted[3]],
		spans[wanted[4]]
	for _, c := range []struct {
		what      string
		got, want string
	}{
		{"the gateway's span continues the client's", server.ParentID, clientSpan},
		{"the call is inside of the request", call.ParentID, server.ID},
		{"the service answers the call", vault.ParentID, call.ID},
		{"the insert follows the request", insert.ParentID, server.ID},
		{"the insert links to its event", strings.Join(insert.Links, " "), clientTrace + "-" + server.ID},
		{"the statement is inside of the insert", copied.ParentID, insert.ID},
		{"the status", server.Attributes["http.response.status_code"] + call.Attributes["http.response.status_code"],
			"201201"},
		{"the request id", vault.Attributes["realmgate.request_id"], put.header.Get("X-Request-Id")},
		{"the peer", call.Attributes["service.peer.name"], "vault-svc"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, c.got, c.want)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(spans)), func(s testkit.Span) bool {
		return s.Service == "vault-svc" && s.ParentID == vault.ID && s.Kind == "CLIENT" &&
			s.Attributes["db.system.name"] == "postgresql"
	}) {
		t.Errorf("no statement inside of vault-svc's span: %v", slices.Sorted(maps.Keys(spans)))
	}
	tellNone(t, to.Spans(), secret, "the.key.5921", queryRealm, "state-4410", "baggage-4411", ada.Token, ada.ID,
		ada.Email, userPassword)
}

// tellNone fails the test for every span that contains one of the texts.
func tellNone(t *testing.T, spans []testkit.Span, texts ...string) {
	t.Helper()
	for _, s := range spans {
		all := s.Name + s.Reason
		for name, value := range s.Attributes {
			all += " " + name + "=" + value
		}
		for _, never := range texts {
			if strings.Contains(all, never) {
				t.Errorf("a span of %s tells %q: %s", s.Service, never, all)
			}
		}
	}
}
