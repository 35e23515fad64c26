package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// witness is a client of a stream of server-sent events. It resumes where it stopped, at any
// gateway, whenever its stream ends. What it has seen is compared with the database at the end.
type witness struct {
	load        *load
	who         account
	path, realm string

	mu    sync.Mutex
	last  string // id of the last event; "" before the first
	seen  []sighting
	reset int // events that told the witness that it may have missed something
}

// sighting is one change that a witness was told, with the text that must be in the database.
// Several sightings of one id are a repetition.
type sighting struct{ id, change string }

// silence is the time after which a witness gives a stream up: a server sends an event at least
// every 10 s.
const silence = 15 * time.Second

// witnessAgent is the User-Agent of the witnesses. It has no number, so that the records of their
// streams are not in the ledger.
const witnessAgent = "chaos-witness"

// witnesses returns a witness of each account's vault for each realm.
func (d *load) witnesses() []*witness {
	var out []*witness
	for _, who := range d.accounts {
		for i := range realmCount + 1 {
			out = append(out, &witness{load: d, who: who, path: "/api/v1/vault/watch", realm: realm(i)})
		}
	}
	return out
}

// run follows the stream until ctx ends.
func (t *witness) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := t.follow(ctx); err != nil {
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// follow opens the stream once and reads it to its end.
func (t *witness) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	uri := "http://" + t.load.client().addr + t.path
	if t.realm != "" {
		uri += "?realm_id=" + t.realm
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.who.token)
	req.Header.Set("User-Agent", witnessAgent)
	if last := t.position(); last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	// A connection of its own, because a kept one may belong to a gateway that has stopped.
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		if res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests {
			t.load.ledger.breach(ruleAnswers, "GET %s: %d", t.path, res.StatusCode)
		}
		return fmt.Errorf("%s: %d", t.path, res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	var name, id, data string
	for lines.Scan() {
		watchdog.Reset(silence)
		switch field, value, _ := strings.Cut(lines.Text(), ":"); field {
		case "event":
			name = strings.TrimSpace(value)
		case "id":
			id = strings.TrimSpace(value)
		case "data":
			data = strings.TrimSpace(value)
		case "": // the end of an event
			if name != "" {
				t.heard(name, id, data)
			}
			name, id, data = "", "", ""
		}
	}
	return lines.Err()
}

// heard notes one event.
func (t *witness) heard(name, id, data string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch name {
	case "reset":
		t.reset++
	case "sync":
		var at struct{ ID json.RawMessage }
		if err := json.Unmarshal([]byte(data), &at); err == nil && string(at.ID) != "null" {
			id = strings.Trim(string(at.ID), `"`)
		}
	case "bye":
	default: // put, delete, restore, expire
		var c struct {
			Key     string
			Version int64
		}
		_ = json.Unmarshal([]byte(data), &c)
		t.seen = append(t.seen, sighting{id, changeText(name, c.Key, c.Version)})
	}
	if id != "" {
		t.last = id
	}
}

// changeText describes a change of the vault, alike for an event and for a row.
func changeText(event, key string, version int64) string {
	return fmt.Sprintf("%s %s version %d", event, key, version)
}

func (t *witness) position() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// ready waits until the witness has a position, from which on it must miss nothing.
func (t *witness) ready(ctx context.Context) error {
	deadline := time.Now().Add(witnessPatience) // a server tells it every 10 s
	for t.position() == "" {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s told no position within %v", t.path, witnessPatience)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}

// compare returns the differences between the sightings and the rows of the database, which are in
// the order in which changes were committed.
func (t *witness) compare(rows []sighting) (differences []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reset > 0 {
		differences = append(differences, fmt.Sprintf("%d resets", t.reset))
	}
	counted := map[sighting]int{}
	for _, s := range t.seen {
		if counted[s]++; counted[s] == 2 {
			differences = append(differences, fmt.Sprintf("%s %s came twice", s.id, s.change))
		}
	}
	for _, row := range rows {
		if counted[row] == 0 {
			differences = append(differences, fmt.Sprintf("%s %s did not come", row.id, row.change))
		}
		delete(counted, row)
	}
	for s := range counted {
		differences = append(differences, fmt.Sprintf("%s %s came and is not in the database", s.id, s.change))
	}
	if len(differences) == 0 {
		for i, row := range rows {
			if t.seen[i] != row {
				return append(differences, fmt.Sprintf("%s %s came out of order", row.id, row.change))
			}
		}
	}
	return differences
}
