package activity

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/event"
)

// TestAnExportHasEveryRecordThatMatches, in both formats, over many days and over several chunks of
// a day.
func TestAnExportHasEveryRecordThatMatches(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	w := &walked{h: h, s: openStore(t, h.cfg.DB.URL.Reveal()), user: newUser()}
	w.add(300, w.day(30), w.day(3))
	w.add(2*exportChunk+1, w.day(2), w.day(2).Add(time.Hour))
	h.run()
	for _, query := range []string{"", "&method=DELETE", "&errors_only=true&realm_id=507f1f77bcf86cd799439011",
		"&start_date=" + w.day(2).Format(time.DateOnly), "&end_date=" + w.day(20).Format(time.DateOnly), "&method=PATCH"} {
		var want []string
		for _, e := range selectedBy(t, w.events, query) {
			want = append(want, e.ID)
		}
		res, body := h.file(w.user, logPath+"/export?format=ndjson"+query)
		lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
		var got []string
		for _, line := range lines[:len(lines)-1] {
			var r Record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			got = append(got, r.ID)
		}
		var end struct {
			Complete bool
			Count    int
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || !end.Complete || end.Count != len(want) ||
			!slices.Equal(got, want) || res.Header.Get("Content-Type") != "application/x-ndjson" ||
			!strings.HasPrefix(res.Header.Get("Content-Disposition"), `attachment; filename="activity-`) {
			t.Errorf("%s: got %d records, %+v, %v, want %d", query, len(got), end, res.Header, len(want))
		}
		_, body = h.file(w.user, logPath+"/export?format=csv"+query)
		rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
		if err != nil || len(rows) != len(want)+1 || !slices.Equal(rows[0], recordCells) {
			t.Errorf("%s: got %d lines of CSV, %v, want %d", query, len(rows), err, len(want)+1)
		}
	}
}

func TestCellsOfAnExportAreNoFormulas(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	for i, agent := range []string{`=1+1`, `+1`, `-1`, `@a`, "\ta", `a"b,c`, "", "é", `'quoted'`, "two\r\nlines"} {
		e := at(time.Now().Add(-time.Duration(i)*time.Second), user, "GET", 200)
		e.UserAgent, e.Auth, e.AuthID, e.RequestID = agent, event.AuthToken, user.SessionID, "-"
		h.publish(e)
	}
	h.drained()
	_, body := h.file(user, logPath+"/export?format=csv")
	for _, want := range []string{",'=1+1,", ",'+1,", ",'-1,", ",'@a,", ",'\ta,", `,"a""b,c",`, ",192.0.2.7,,", ",é,",
		",'quoted',",
		",\"two\r\nlines\",", ",'-,0,token," + user.SessionID + "\r\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("the file lacks %q:\n%s", want, body)
		}
	}
	if n := strings.Count(body, "\r\n"); n != 12 {
		t.Errorf("%d line ends, want 12", n)
	}
	for query, name := range map[string]string{"": "format", "?format=xml": "format", "?format=": "format",
		"?format=csv&path=": "path", "?format=csv&method=x": "method"} {
		if a := h.get(user, logPath+"/export"+query); a.StatusCode != 400 || !strings.Contains(a.body, `"/`+name+`"`) {
			t.Errorf("%s: got %s, want a 400 that names %s", query, a.body, name)
		}
	}
}
