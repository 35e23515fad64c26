package input

import (
	"fmt"
	"testing"

	"github.com/realmgate/realmgate/pkg/apperr"
)

func TestNestedObjectsNameTheirPlace(t *testing.T) {
	t.Parallel()
	o, err := ParseFields([]byte(`{"list" : [ {"a":"x","b":1} , {"a":2,"c~/":1},{"a":"y"}]}`), "list")
	if err != nil {
		t.Fatal(err)
	}
	elements, ok := o.Array("list", 1, 3)
	if !ok || len(elements) != 3 {
		t.Fatalf("got %s, want 3 elements; %v", elements, o.Err())
	}
	var got string
	for i, raw := range elements {
		e, err := ParseFieldsAt(fmt.Sprintf("/list/%d", i), raw, "a")
		if err != nil {
			t.Fatal(err)
		}
		a, _ := e.Text("a")
		got += fmt.Sprintln(a, e.Violated(), e.Warnings())
	}
	want := "x [] [unknown field /list/0/b was ignored]\n" +
		" [{/list/1/a must be a string}] [unknown field /list/1/c~0~1 was ignored]\ny [] []\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for raw, path := range map[string]string{`1`: "/list/7", `{"a":1,"a":2}`: "/list/7/a", ``: ""} {
		_, err := ParseFieldsAt("/list/7", []byte(raw), "a")
		if path == "" {
			if err != nil {
				t.Errorf("%q: got %v, want an empty object", raw, err)
			}
			continue
		}
		if e := apperr.From(err); err == nil || len(e.Violations) != 1 || e.Violations[0].InstancePath != path {
			t.Errorf("%q: got %+v, want a violation at %s", raw, e, path)
		}
	}
	for _, body := range []string{`{"list":[]}`, `{"list":[1,2,3,4]}`, `{"list":{}}`, `{"list":null}`} {
		o, err := ParseFields([]byte(body), "list")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := o.Array("list", 1, 3); ok || len(o.Violated()) != 1 {
			t.Errorf("%s: got %v, want a violation", body, o.Violated())
		}
	}
}
