package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
)

// recorder makes request events like the gateway's: a few methods, paths, statuses and realms in
// turn, at given times.
type recorder struct {
	random *rand.Rand
	realms []string
}

func newRecorder(seed uint64) *recorder {
	r := &recorder{random: rand.New(rand.NewPCG(seed, 1))}
	for i := range 4 { // the same for every recorder, so that a growing log does not get more realms
		r.realms = append(r.realms, fmt.Sprintf("0eeeee%018x", i))
	}
	return r
}

// request returns an event of the user at the time.
func (r *recorder) request(user string, at time.Time) event.Request {
	methods := [...]string{"GET", "GET", "GET", "GET", "GET", "GET", "PUT", "PATCH", "DELETE", "POST"}
	statuses := [...]int{200, 200, 200, 200, 200, 200, 200, 201, 404, 400}
	n := r.random.IntN(1000)
	e := event.Request{
		ID: id.New(at), UserID: user, Method: methods[n%10], Status: statuses[n/10%10],
		IPAddress: fmt.Sprintf("192.0.2.%d", n%200),
		Path:      fmt.Sprintf("/api/v1/vault/keys/service.%d.password", n),
		UserAgent: "hoody-sdk/1.4.2 (linux; x64) node/22",
	}
	if n%3 == 0 {
		e.RealmID = r.realms[n%len(r.realms)]
	}
	return e
}

// activityColumns are the columns of the table activity, in the order of columns.
func activityColumns() []string {
	return []string{"user_id", "id", "realm_id", "method", "path", "status", "ip_address", "user_agent"}
}

// columns returns the row that activity-svc stores for an event.
func columns(e event.Request) []any {
	return []any{unhex(e.UserID), unhex(e.ID), unhex(e.RealmID), e.Method, e.Path, int16(e.Status), e.IPAddress,
		e.UserAgent}
}

func unhex(s string) []byte {
	b, _ := hex.DecodeString(s) // the recorder generates valid ids
	if b == nil {
		b = []byte{}
	}
	return b
}

// firstID returns the lowest id of a time in hexadecimal. Ids begin with 6 bytes of milliseconds.
func firstID(at time.Time) string { return fmt.Sprintf("%012x%012x", at.UnixMilli(), 0) }

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
