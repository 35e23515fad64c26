package input

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFieldsThatNoGetterReadGetAWarning(t *testing.T) {
	t.Parallel()
	o, err := ParseObject([]byte(
		`{"z":1,"alias":"a","b/~c":2,"metadata":{"x":{"y":1}},"gone":null,"flag":true,"text":"t"}`))
	if err != nil {
		t.Fatal(err)
	}
	o.String("alias", 1, 10)
	o.JSONObject("metadata", 100)
	o.DropNull("gone", "absent")
	o.Bool("flag")
	o.Text("text")
	o.Int("absent", 0, 1)
	if got, want := o.Warnings(),
		[]string{"unknown field /z was ignored", "unknown field /b~1~0c was ignored"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o.RefuseUnknown("alias", "metadata", "flag", "text", "z"); o.Err() == nil ||
		!strings.Contains(fmt.Sprint(o.list), "/b~1~0c") || len(o.list) != 1 {
		t.Errorf("violations %v, want one at /b~1~0c", o.list)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	var members []string
	for i := range 100 {
		members = append(members, fmt.Sprintf(`"%03d%s":%d`, i, strings.Repeat("é", 1000), i))
	}
	body := []byte(`{"value":"v",` + strings.Join(members, ",") + `}`)
	for name, parse := range map[string]func() (*Object, error){
		"all fields":   func() (*Object, error) { return ParseObject(body) },
		"named fields": func() (*Object, error) { return ParseFields(body, "value") },
	} {
		o, err := parse()
		if err != nil {
			t.Fatal(err)
		}
		o.Text("value")
		warnings := o.Warnings()
		if len(warnings) != maxWarnings || !strings.HasPrefix(warnings[0], "unknown field /000é") ||
			!strings.HasPrefix(warnings[19], "unknown field /019é") {
			t.Errorf("%s: got %d warnings, the first %.40q", name, len(warnings), warnings)
		}
		for _, w := range warnings {
			if len(w) > 100 || !utf8.ValidString(w) {
				t.Errorf("%s: %q", name, w)
			}
		}
	}
}
