package main

import (
	"slices"
	"testing"
)

func TestWitnessFindsEveryDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		events [][3]string // name, id, data
		rows   []sighting
		want   []string
	}{
		{"each change once", [][3]string{{"sync", "", `{"id":4}`}, {"put", "5", `{"key":"a","version":1}`},
			{"delete", "6", `{"key":"a","version":1}`}},
			[]sighting{{"5", "put a version 1"}, {"6", "delete a version 1"}}, nil},
		{"a change is missing", [][3]string{{"put", "5", `{"key":"a","version":1}`}},
			[]sighting{{"5", "put a version 1"}, {"6", "delete a version 1"}}, []string{"6 delete a version 1 did not come"}},
		{"a repetition", [][3]string{{"put", "5", `{"key":"a","version":1}`}, {"put", "5", `{"key":"a","version":1}`}},
			[]sighting{{"5", "put a version 1"}}, []string{"5 put a version 1 came twice"}},
		{"a change that never was", [][3]string{{"put", "5", `{"key":"a","version":1}`}}, nil,
			[]string{"5 put a version 1 came and is not in the database"}},
		{"the wrong order", [][3]string{{"put", "6", `{"key":"b","version":1}`}, {"put", "5", `{"key":"a","version":1}`}},
			[]sighting{{"5", "put a version 1"}, {"6", "put b version 1"}}, []string{"5 put a version 1 came out of order"}},
		{"a reset", [][3]string{{"reset", "5", `{}`}}, nil, []string{"1 resets"}},
	} {
		w := &witness{path: "/api/v1/vault/watch"}
		for _, e := range c.events {
			w.heard(e[0], e[1], e[2])
		}
		if got := w.compare(c.rows); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWitnessResumesAfterItsLastEvent(t *testing.T) {
	t.Parallel()
	w := &witness{}
	for _, step := range []struct{ name, id, data, want string }{
		{"sync", "", `{"id":null}`, ""}, {"sync", "", `{"id":"ab"}`, "ab"}, {"sync", "", `{"id":12}`, "12"},
		{"put", "13", `{"key":"a"}`, "13"}, {"bye", "", `{"reason":"draining"}`, "13"}, {"reset", "15", `{}`, "15"},
	} {
		w.heard(step.name, step.id, step.data)
		if got := w.position(); got != step.want {
			t.Errorf("after %s %s: position %q, want %q", step.name, step.data, got, step.want)
		}
	}
}
