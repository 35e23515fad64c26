package gateway

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// TestAStateThatWasPutIntoRedisLetsNobodyIn: an intruder with access to Redis makes up an auth
// token, and brings an ended session to life.
func TestAStateThatWasPutIntoRedisLetsNobodyIn(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	token, state := d.users.authToken()
	d.users.set(hashOf(token), sessionstate.State{})
	d.users.set(ada.sessionID, sessionstate.State{UserID: ada.userID, SessionID: ada.sessionID})
	rdb, err := redisdb.Open(redisdb.Config{URL: config.Secret(d.redis.URL())})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	for key, s := range map[string]sessionstate.State{
		sessionstate.TokenKey(hashOf(token)): state,
		sessionstate.SessionKey(ada.sessionID): {Alive: true, UserID: ada.userID, SessionID: ada.sessionID, Admin: true,
			Version: 1},
	} {
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := rdb.Set(t.Context(), key, plain, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for name, bearer := range map[string]string{"a made-up token": token, "an ended session": ada.token} {
		if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: bearer}); r.code != "INVALID_TOKEN" {
			t.Errorf("%s: got %d %s", name, r.status, r.raw)
		}
	}
}
