package activity

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/search"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
)

// TestASearchFindsWhatAWalkFinds compares pages, totals and stats of each filter, alone and with
// others, with a plain walk over the events.
// searches returns queries and the events that each of them must find.
func searches(events []event.Request, paths, sessions []string) map[string]func(event.Request) bool {
	return map[string]func(event.Request) bool{
		"path=/api/v1/vault/keys/a":    func(e event.Request) bool { return strings.HasPrefix(e.Path, paths[0]) },
		"path=/api/v1/vault/keys/a%25": func(e event.Request) bool { return e.Path == paths[1] },
		"path=/api/v1/vault/keys/a_":   func(e event.Request) bool { return e.Path == paths[2] },
		"path=%25":                     func(event.Request) bool { return false },
		"path=/api/v1/users&method=PUT&errors_only=true": func(e event.Request) bool {
			return strings.HasPrefix(e.Path, "/api/v1/users") && e.Method == "PUT" && e.Status >= 400
		},
		"path=/&start_date=" + events[40].At().Format("2006-01-02T15:04:05.000Z"): func(e event.Request) bool {
			return !e.At().Before(events[40].At())
		},
		"ip_address=192.0.2.7": func(e event.Request) bool { return strings.HasSuffix(e.IPAddress, "192.0.2.7") },
		"ip_address=::FFFF:c000:0207": func(e event.Request) bool {
			return strings.HasSuffix(e.IPAddress, "192.0.2.7")
		},
		"ip_address=192.0.2.9/24":         func(e event.Request) bool { return strings.HasSuffix(e.IPAddress, "192.0.2.7") },
		"ip_address=::ffff:192.0.2.0/120": func(e event.Request) bool { return strings.HasSuffix(e.IPAddress, "192.0.2.7") },
		"ip_address=0.0.0.0/0":            func(e event.Request) bool { return strings.Contains(e.IPAddress, ".") },
		"ip_address=2001:0DB8:0::0001":    func(e event.Request) bool { return e.IPAddress == "2001:db8::1" },
		"ip_address=2001:db8::/32":        func(e event.Request) bool { return strings.HasPrefix(e.IPAddress, "2001") },
		"ip_address=2001:db8::/64":        func(e event.Request) bool { return e.IPAddress == "2001:db8::1" },
		"auth_id=" + sessions[0]:          func(e event.Request) bool { return e.AuthID == sessions[0] },
		"auth_id=" + strings.ToUpper(sessions[1]) + "&request_id=request.7": func(e event.Request) bool {
			return e.AuthID == sessions[1] && e.RequestID == "request.7"
		},
		"request_id=request.12": func(e event.Request) bool { return e.RequestID == "request.12" },
	}
}

func TestASearchFindsWhatAWalkFinds(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user, s := newUser(), openStore(t, h.cfg.DB.URL.Reveal())
	addresses := []string{"192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:db8:0:1::2", "", "198.51.100.4"}
	paths := []string{"/api/v1/vault/keys/a", "/api/v1/vault/keys/a%25b", "/api/v1/vault/keys/a_b", "/api/v1/users/me"}
	sessions := []string{id.New(time.Now()), id.New(time.Now()), ""}
	var events []event.Request
	var rows []*record
	for n := range 300 {
		e := at(time.Now().Add(-time.Duration(n)*3*time.Hour), user, []string{"GET", "PUT"}[n%2], []int{200, 404, 500}[n%3])
		e.IPAddress, e.Path, e.RequestID = addresses[n%6], paths[n%4], fmt.Sprintf("request.%d", n)
		if e.AuthID = sessions[n%3]; e.AuthID != "" {
			e.Auth = event.AuthSession
		} else {
			e.RequestID = "" // of the previous release
		}
		events, rows = append(events, e), append(rows, recordsOf(e)...)
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	for query, keep := range searches(events, paths, sessions) {
		var want []string
		for _, e := range events {
			if keep(e) {
				want = append(want, e.ID)
			}
		}
		for page := range len(want)/100 + 2 {
			a := h.get(user, fmt.Sprintf("%s?limit=100&page=%d&%s", logPath, page+1, query))
			var got []string
			for _, r := range a.records(t) {
				got = append(got, r.ID)
			}
			expected := want[min(len(want), page*100):min(len(want), page*100+100)]
			if !slices.Equal(got, expected) || a.Metadata.Total != len(want) ||
				!strings.HasSuffix(a.body, `,"total_capped":false}}`) {
				t.Errorf("%s page %d: got %d of %+v, want %d of %d", query, page+1, len(got), a.Metadata, len(expected), len(want))
			}
		}
	}
	var stats Stats
	a := h.get(user, logPath+"/stats?auth_id="+sessions[1])
	if err := json.Unmarshal(a.Data, &stats); err != nil || stats.TotalRecords != 100 || stats.TotalCapped == nil ||
		*stats.TotalCapped || !time.Time(*stats.NewestRecord).Equal(events[1].At()) ||
		!time.Time(*stats.OldestRecord).Equal(events[298].At()) || stats.TotalSizeBytes < 100*fixedBytes {
		t.Errorf("stats of a session: %s, %v", a.body, err)
	}
}

// TestASearchStopsAtItsBounds: at 10,000 records exactly nothing is capped, one more is.
func TestASearchStopsAtItsBounds(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user, s := newUser(), openStore(t, h.cfg.DB.URL.Reveal())
	store := func(n int) {
		t.Helper()
		var rows []*record
		for range n {
			e := at(time.Now().Add(-time.Minute), user, "GET", 200)
			rows = append(rows, recordsOf(e)...)
		}
		if err := s.insert(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	store(search.MaxTotal)
	check := func(query, want string, records int) {
		t.Helper()
		a := h.get(user, logPath+query)
		if !strings.HasSuffix(a.body, want+"}") || len(a.records(t)) != records {
			t.Errorf("%s: got %d records, …%s, want %d and %s", query, len(a.records(t)), a.body[len(a.body)-100:], records,
				want)
		}
	}
	check("?path=/api", `"metadata":{"total":10000,"page":1,"limit":50,"pages":200,"total_capped":false}`, 50)
	store(1)
	check("?path=/api", `"metadata":{"total":10000,"page":1,"limit":50,"pages":200,"total_capped":true}`, 50)
	check("?path=/api&page=200", `"metadata":{"total":10000,"page":200,"limit":50,"pages":200,"total_capped":true}`, 50)
	check("?path=/api&page=201", `"metadata":{"total":10000,"page":201,"limit":50,"pages":200,"total_capped":true}`, 0)
	check("", `"metadata":{"total":10001,"page":1,"limit":50,"pages":201}`, 50)
}

func TestASearchNamesInvalidParameters(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	long := strings.Repeat("a", 129)
	for name, values := range map[string][]string{
		"path": {"", strings.Repeat("/", 2049), "%00", "%ff"},
		"ip_address": {"", "x", "192.0.2", "192.0.2.7:80", "192.0.2.0/33", "2001:db8::/129", "fe80::1%25eth0", "192.0.2.0/",
			"192.0.2.7, 192.0.2.8"},
		"auth_id":    {"", "x", long, strings.Repeat("g", 24), strings.Repeat("a", 23)},
		"request_id": {"", long, "a b", "é", url.QueryEscape("a/b")},
	} {
		for _, value := range values {
			if !strings.Contains(value, "%") {
				value = url.QueryEscape(value)
			}
			for _, path := range []string{logPath, logPath + "/stats"} {
				a := h.get(user, path+"?"+name+"="+value)
				if a.StatusCode != 400 || a.Code != "VALIDATION_ERROR" || !strings.Contains(a.body, `"/`+name+`"`) {
					t.Errorf("%s?%s=%s: got %s", path, name, value, a.body)
				}
			}
		}
	}
	if a := h.get(user, logPath+"?path="+strings.Repeat("/", 2048)); a.StatusCode != 200 {
		t.Errorf("a path of 2048 characters: %s", a.body)
	}
}
