package input

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
)

func TestParseObjectRefusesAnythingButAJSONObject(t *testing.T) {
	for name, body := range map[string]string{
		"an array": `[]`, "a string": `"x"`, "null": `null`, "half an object": `{"a":`, "two objects": `{}{}`,
		"not UTF-8":    "{\"a\":\"\xff\"}",
		"a name twice": `{"a":1,"a":2}`, "no JSON": `hello`, "a trailing comma": `{"a":1,}`, "a bare NUL": "\x00",
		"a lone surrogate": `{"a":"\ud800"}`, "10,001 levels": `{"a":` + strings.Repeat("[", 10001) + `}`,
	} {
		if _, err := ParseObject([]byte(body)); !apperr.Is(err, "VALIDATION_ERROR") {
			t.Errorf("%s: error %v, want VALIDATION_ERROR", name, err)
		}
	}
	for name, body := range map[string]string{"nothing": "", "white space": " \n", "an empty object": "{ }"} {
		if _, err := ParseObject([]byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryViolationIsReported(t *testing.T) {
	o, err := ParseObject([]byte(`{"alias":"","flag":"yes","meta":[],"n":1.5,"list":["a",1],"nul":"a\u0000","ok":"é"}`))
	if err != nil {
		t.Fatal(err)
	}
	o.String("alias", 1, 100)
	o.Bool("flag")
	o.JSONObject("meta", 10)
	o.Int("n", 0, 9)
	o.Strings("list", 5, 5)
	o.String("nul", 1, 5)
	if got, ok := o.String("ok", 1, 1); !ok || got != "é" {
		t.Errorf("ok = %q, %v", got, ok)
	}
	var e *apperr.Error
	if !errors.As(o.Err(), &e) {
		t.Fatal("no error")
	}
	var paths []string
	for _, v := range e.Violations {
		paths = append(paths, v.InstancePath)
	}
	if got, want := strings.Join(paths, " "), "/alias /flag /meta /n /list/1 /nul"; got != want {
		t.Errorf("violations at %s, want %s", got, want)
	}
}

func TestJSONObjectIsCompactAndOtherwiseUntouched(t *testing.T) {
	o, err := ParseObject([]byte(`{"m": { "b" : 1e400, "a":"\u00e9\u0000<", "n": 12345678901234567890 }}`))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := o.JSONObject("m", 100)
	if want := `{"b":1e400,"a":"é\u0000<","n":12345678901234567890}`; !ok || string(got) != want {
		t.Errorf("got %s, want %s (%v)", got, want, o.Err())
	}
	deep, _ := ParseObject([]byte(`{"m":{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`))
	if _, ok := deep.JSONObject("m", 1000); ok {
		t.Error("101 levels were accepted")
	}
}

func TestQuery(t *testing.T) {
	for _, c := range []struct {
		name, value string
		read        func(*Query)
		ok          bool
	}{
		{"page", "7", func(q *Query) { q.Int("page", 1, 1, 10) }, true},
		{"page", "+7", func(q *Query) { q.Int("page", 1, 1, 10) }, false},
		{"page", "", func(q *Query) { q.Int("page", 1, 1, 10) }, false},
		{"page", "99999999999999999999", func(q *Query) { q.Int("page", 1, 1, 10) }, false},
		{"flag", "TRUE", func(q *Query) { q.Bool("flag", false) }, false},
		{"realm", "507F1F77BCF86CD799439011", func(q *Query) { q.RealmID("realm") }, true},
		{"realm", "", func(q *Query) { q.RealmID("realm") }, false},
		{"realm", "507F", func(q *Query) { q.RealmID("realm") }, false},
		{"from", "2026-02-30", func(q *Query) { q.Time("from", StartOfDay) }, false},
		{"from", "2026-02-28", func(q *Query) { q.Time("from", StartOfDay) }, true},
		{"from", "2026-02-28T10:00:00+01:00", func(q *Query) { q.Time("from", StartOfDay) }, true},
		{"from", "2026-02-28t10:00:00.5z", func(q *Query) { q.Time("from", StartOfDay) }, true},
		{"from", "2026-02-28T10:00:00,5Z", func(q *Query) { q.Time("from", StartOfDay) }, false},
		{"from", "2026-02-28T10:00:00+24:00", func(q *Query) { q.Time("from", StartOfDay) }, false},
		{"from", "2026-02-28T10:00:00-00:60", func(q *Query) { q.Time("from", StartOfDay) }, false},
		{"from", "2026-02-28T10:00:00+23:59", func(q *Query) { q.Time("from", StartOfDay) }, true},
		{"from", "2026-02-28T1:00:00Z", func(q *Query) { q.Time("from", StartOfDay) }, false},
		{"q", "", func(q *Query) { q.Text("q", 10) }, false},
		{"q", "a\x00", func(q *Query) { q.Text("q", 10) }, false},
		{"q", "\xff", func(q *Query) { q.Text("q", 10) }, false},
	} {
		q := NewQuery(func(n string) []string {
			if n != c.name {
				return nil
			}
			return []string{c.value}
		})
		c.read(q)
		if (q.Err() == nil) != c.ok {
			t.Errorf("%s=%q: error %v, want ok=%v", c.name, c.value, q.Err(), c.ok)
		}
	}
}

func TestADuplicateParameterIsRefusedOnce(t *testing.T) {
	q := NewQuery(func(string) []string { return []string{"1", "2"} })
	q.Int("page", 1, 1, 10)
	if got := q.Int("page", 7, 1, 10); got != 7 {
		t.Errorf("page = %d, want the default", got)
	}
	if e := apperr.From(q.Err()); len(e.Violations) != 1 || e.Violations[0].InstancePath != "/page" {
		t.Errorf("violations %+v, want one at /page", e.Violations)
	}
	if !q.Has("page") {
		t.Error("Has says that it was not sent")
	}
}

func FuzzParseObject(f *testing.F) {
	f.Add([]byte(`{"a":"b","m":{"x":[1,2]}}`))
	f.Add([]byte("{\"a\":\"\xff\"}"))
	f.Add([]byte(`{"a" : [{"b":1,"\u0062":2}, {}], "c":{"d":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := ParseObject(body)
		valid := len(bytes.TrimSpace(body)) == 0 || jsontext.Value(body).IsValid() &&
			jsontext.Value(body).Kind() == jsontext.KindBeginObject
		if err != nil {
			if valid && bytes.Count(body, []byte(":")) <= maxMembers && bytes.Count(body, []byte("[")) < 60 &&
				bytes.Count(body, []byte("{")) < 60 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if !valid {
			t.Fatalf("%q is taken", body)
		}
		for _, f := range slices.Clone(o.fields) {
			name, value := f.name, f.value
			if !value.IsValid() {
				t.Fatalf("%q: %q is %q", body, name, value)
			}
			o.Text(name)
			o.JSONObject(name, 1000)
			o.Strings(name, 10, 10)
		}
	})
}

func TestFieldsOfALargeBody(t *testing.T) {
	for name, c := range map[string]struct{ body, value, problem string }{
		"an unwanted name may stand twice":    {body: `{"a":1,"a":2,"value":"v"}`, value: "v"},
		"what is unwanted must still be JSON": {body: `{"a":01,"value":"v"}`, problem: "must be valid JSON"},
		"a wanted name must not stand twice":  {body: `{"value":"v","value":"w"}`, problem: "without duplicate names"},
		"nothing may follow":                  {body: `{"value":"v"}{}`, problem: "must be a single JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := ParseFields([]byte(c.body), "value")
			if c.problem != "" {
				e := apperr.From(err)
				if err == nil || len(e.Violations) != 1 || !strings.Contains(e.Violations[0].Message, c.problem) {
					t.Fatalf("got %v %+v, want a violation about %q", err, e.Violations, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := o.Text("value"); got != c.value || o.Has("a") {
				t.Fatalf("got %q, a kept: %v; want %q only", got, o.Has("a"), c.value)
			}
		})
	}
}

func TestMetadataWithANameTwice(t *testing.T) {
	o, err := ParseFields([]byte(`{"m":{"x":{"a":1,"a":2}}}`), "m")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := o.JSONObject("m", 100); ok || o.Err() == nil {
		t.Fatalf("got %s, want a violation", v)
	}
}

func TestAFaultDeepInABodyIsLocatedInAFewBytes(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"too deep": strings.Repeat(`{"abc":`, 20_000) + "1" + strings.Repeat("}", 20_000),
		"no JSON":  strings.Repeat(`{"abc":`, 200) + "x",
		"one name": `{"` + strings.Repeat("a", 1000) + `":{"b":x}}`,
	} {
		_, err := ParseObject([]byte(body))
		e := apperr.From(err)
		if e == nil || len(e.Violations) != 1 {
			t.Fatalf("%s: got %v, want one violation", name, err)
		}
		if v := e.Violations[0]; len(v.InstancePath) > 255 || name != "one name" &&
			!strings.HasPrefix(v.InstancePath, "/abc/abc") || !strings.Contains(v.Message, "levels deep") {
			t.Errorf("%s: got %q %q", name, v.InstancePath, v.Message)
		}
	}
}
