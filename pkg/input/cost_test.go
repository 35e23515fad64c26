package input

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// members returns n members of a JSON object with names of few bytes, all different.
func members(n int, value string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":%s`, i, value)
	}
	return b.String()
}

// allocated returns the bytes that f allocates. Nothing else may run meanwhile, so its tests are
// not parallel.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hostileBodies are bodies of about half a megabyte that cost a parser as much as possible.
func hostileBodies() map[string]string {
	const size = 512 << 10
	deep := maxBodyDepth - 2
	return map[string]string{
		"many members":               `{` + members(70_000, "1") + `}`,
		"many members in a member":   `{"metadata":{` + members(70_000, "1") + `}}`,
		"many members in an unknown": `{"x":[{` + members(70_000, "1") + `}]}`,
		"many empty objects":         `{"metadata":[` + strings.Repeat(`{},`, size/3) + `{}]}`,
		"many small objects":         `{"metadata":[` + strings.Repeat(`{"a":1},`, size/8) + `{}]}`,
		"one name again and again":   `{"metadata":{` + strings.Repeat(`"a":1,`, size/6) + `"a":1}}`,
		"escaped names": `{"metadata":{` +
			strings.ReplaceAll(members(40_000, "1"), `":`, `\u0041":`) + `}}`,
		"many numbers":              `{"metadata":[` + strings.Repeat(`1,`, size/2) + `1]}`,
		"deep":                      `{"metadata":` + strings.Repeat(`[`, size),
		"deep, as objects":          `{"metadata":` + strings.Repeat(`{"a":`, size/5),
		"deep where a name must be": `{` + strings.Repeat(`[`, size),
		"as deep as it may, repeated": `{"metadata":[` +
			strings.Repeat(strings.Repeat(`[`, deep)+strings.Repeat(`]`, deep)+`,`, size/2/deep) + `1]}`,
		"a long string":            `{"metadata":"` + strings.Repeat(`a`, size) + `"}`,
		"a long escaped string":    `{"metadata":"` + strings.Repeat(`\u00e9`, size/6) + `"}`,
		"a long name":              `{"` + strings.Repeat(`a`, size) + `":1}`,
		"a long name with a fault": `{"` + strings.Repeat(`a`, size) + `":x}`,
		"long names with a fault":  strings.Repeat(`{"`+strings.Repeat(`a`, size/100)+`":`, 100) + `x`,
		"a long number":            `{"metadata":` + strings.Repeat(`1`, size) + `}`,
		"white space":              `{"metadata":{` + strings.Repeat(` `, size) + `}}`,
	}
}

// TestABodyCostsAFewTimesItsLength counts the bytes that parsing allocates for each byte of a body.
func TestABodyCostsAFewTimesItsLength(t *testing.T) {
	for name, text := range hostileBodies() {
		body, most := []byte(text), 5 // bytes allocated in all, garbage included, for each byte of body
		if strings.Contains(name, "fault") {
			most = 12 // the error has the path of the fault, which is most of such a body
		}
		cost := allocated(func() {
			for _, parse := range []func() (*Object, error){
				func() (*Object, error) { return ParseObject(body) },
				func() (*Object, error) { return ParseFields(body, "metadata") },
			} {
				o, err := parse()
				if err != nil {
					continue
				}
				o.Text("metadata")
				o.Strings("metadata", 100, 100)
				o.Int("metadata", 0, 100)
				o.JSONObject("metadata", 64<<10)
				_ = o.Err()
			}
		})
		if ratio := float64(cost) / float64(len(body)); ratio > float64(2*most) {
			t.Errorf("%s: reading twice allocates %.1f bytes for each byte, want at most %d", name, ratio, 2*most)
		}
	}
}

// TestSmallBodiesStayCheap checks that the bounds do not make ordinary bodies expensive.
func TestSmallBodiesStayCheap(t *testing.T) {
	body := []byte(`{"email":"ada@example.com","password":"correct horse 7","client":{"name":"cli","version":"1"}}`)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseObject(body); err != nil {
			t.Fatal(err)
		}
	}); n > 16 {
		t.Errorf("%v allocations, want at most 16", n)
	}
}

func TestABodyHasABoundedNumberOfMembers(t *testing.T) {
	t.Parallel()
	if _, err := ParseObject([]byte(`{` + members(maxMembers, "1") + `}`)); err != nil {
		t.Errorf("%d members: %v", maxMembers, err)
	}
	many := []byte(`{` + members(maxMembers+1, "1") + `}`)
	for name, parse := range map[string]func() (*Object, error){
		"ParseObject": func() (*Object, error) { return ParseObject(many) },
		"ParseFields": func() (*Object, error) { return ParseFields(many, "value") },
	} {
		_, err := parse()
		e, ok := errors.AsType[*apperr.Error](err)
		if !ok || len(e.Violations) != 1 || e.Violations[0].InstancePath != "" ||
			!strings.Contains(e.Violations[0].Message, "at most 256 members") {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestADuplicateNameIsFoundAtAnyLevel(t *testing.T) {
	t.Parallel()
	for body, at := range map[string]string{
		`{"a":1,"a":2}`:                       "/a",
		`{"a":1,"\u0061":2}`:                  "/a",
		`{"m":{"a":1,"b":2,"a":3}}`:           "/m",
		`{"m":[1,{"a":1,"\u0061":{}}]}`:       "/m/1",
		`{"m":{"x":{"a":1},"y":{"":1,"":2}}}`: "/m/y",
	} {
		_, err := ParseObject([]byte(body))
		e, ok := errors.AsType[*apperr.Error](err)
		if !ok || len(e.Violations) != 1 || e.Violations[0].InstancePath != at ||
			!strings.Contains(e.Violations[0].Message, "duplicate names") {
			t.Errorf("%s: got %+v, want a violation at %s", body, e, at)
		}
	}
	for _, body := range []string{`{"a":{"a":{"a":1}},"b":{"a":1}}`, `{"l":[{"a":1},{"a":2}]}`, `{"a":{},"A":{}}`,
		`{"m":{` + members(5000, `{"a":1}`) + `}}`} {
		if _, err := ParseObject([]byte(body)); err != nil {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

func TestABodyNestsAsDeepAsStoredObjectsMay(t *testing.T) {
	t.Parallel()
	nested := func(levels int) []byte {
		return []byte(`{"m":` + strings.Repeat(`{"a":`, levels) + `1` + strings.Repeat(`}`, levels) + `}`)
	}
	o, err := ParseObject(nested(maxDepth))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := o.JSONObject("m", 1<<20); !ok {
		t.Errorf("%d levels: %v", maxDepth, o.Err())
	}
	if o, err = ParseObject(nested(maxDepth + 1)); err != nil {
		t.Fatal(err)
	}
	if _, ok := o.JSONObject("m", 1<<20); ok {
		t.Errorf("%d levels are taken", maxDepth+1)
	}
	if _, err := ParseObject(nested(maxBodyDepth)); err == nil {
		t.Errorf("%d levels are taken as a body", maxBodyDepth+1)
	}
}

func TestWhiteSpaceAndEscapesOfAnObjectAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		object string
		ok     bool
	}{
		"every character escaped": {`{"a":"` + strings.Repeat(`\u0061`, 1000-8) + `"}`, true},
		"indented":                {`{"a":` + strings.Repeat(" ", 6000) + `1}`, true},
		"little in much space":    {`{"a":` + strings.Repeat(" ", 9000) + `1}`, false},
	} {
		o, err := ParseObject([]byte(`{"m":` + c.object + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := o.JSONObject("m", 1000); ok != c.ok {
			t.Errorf("%s: taken: %v, want %v; %v", name, ok, c.ok, o.Err())
		}
	}
}
