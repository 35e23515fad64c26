package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// pocketbase is a running PocketBase with a collection of values that belong to users.
type pocketbase struct {
	*process
	addr    string
	owners  []string // tokens of the owners
	records []string // ids of the records, one for each owner
}

const (
	pocketbaseAdmin    = "bench@example.com"
	pocketbasePassword = "correct-Horse-7-battery"
)

func (b *bench) startPocketBase(ctx context.Context) (*pocketbase, error) {
	program, err := b.tools.generate(ctx, "pocketbase", pocketbaseModule)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(b.dir, "pocketbase")
	environ := []string{"PB_DATA=" + data}
	create := exec.CommandContext(ctx, program, "superuser", "upsert", pocketbaseAdmin, pocketbasePassword)
	create.Env = environ
	if err := describe(create, "superuser"); err != nil {
		return nil, err
	}
	addr, err := b.freeAddr()
	if err != nil {
		return nil, err
	}
	server, err := b.start("pocketbase", program, environ, "serve", "--http="+addr)
	if err != nil {
		return nil, err
	}
	if err := server.answering(ctx, "http://"+addr+"/api/health"); err != nil {
		return nil, err
	}
	pb := &pocketbase{process: server, addr: addr}
	return pb, pb.fill()
}

// fill creates the collection, with the rule that only its owner may use a record, the owners, and
// one record for each.
func (pb *pocketbase) fill() error {
	c, err := dial(pb.addr)
	if err != nil {
		return err
	}
	defer c.close()
	admin, _, err := pb.signIn(c, "_superusers", pocketbaseAdmin)
	if err != nil {
		return err
	}
	authorization := []string{"Authorization: " + admin}
	const own = `"owner = @request.auth.id"`
	_, err = c.call(request{method: "POST", path: "/api/collections", header: authorization,
		body: `{"name":"vault","type":"base","listRule":` + own +
			`,"viewRule":` + own + `,"updateRule":` + own + `,"createRule":` + own +
			`,"fields":[{"name":"key","type":"text"},{"name":"value","type":"text"},` +
			`{"name":"owner","type":"relation","collectionId":"_pb_users_auth_","maxSelect":1},{"name":"updated","type":"autodate","onCreate":true,"onUpdate":true}]}`}, 200)
	if err != nil {
		return err
	}
	for i := range vaultConns {
		email := fmt.Sprintf("owner%d@example.com", i)
		body := fmt.Sprintf(`{"email":%q,"password":%q,"passwordConfirm":%[2]q,"verified":true}`, email,
			pocketbasePassword)
		if _, err := c.call(request{method: "POST", path: "/api/collections/users/records", header: authorization,
			body: body}, 200); err != nil {
			return err
		}
		token, id, err := pb.signIn(c, "users", email)
		if err != nil {
			return err
		}
		answer, err := c.call(request{
			method: "POST", path: "/api/collections/vault/records", header: []string{"Authorization: " + token},
			body: fmt.Sprintf(`{"key":"bench","value":%q,"owner":%q}`, vaultValue(), id),
		}, 200)
		if err != nil {
			return err
		}
		var record struct{ ID string }
		if err := json.Unmarshal(answer, &record); err != nil {
			return err
		}
		pb.owners, pb.records = append(pb.owners, token), append(pb.records, record.ID)
	}
	return nil
}

func (pb *pocketbase) signIn(c *conn, collection, email string) (token, id string, err error) {
	body := fmt.Sprintf(`{"identity":%q,"password":%q}`, email, pocketbasePassword)
	answer, err := c.call(request{method: "POST", path: "/api/collections/" + collection + "/auth-with-password",
		body: body}, 200)
	if err != nil {
		return "", "", err
	}
	var session struct {
		Token  string
		Record struct{ ID string }
	}
	err = json.Unmarshal(answer, &session)
	return session.Token, session.Record.ID, err
}

func (pb *pocketbase) read(i int) []request {
	return []request{{method: "GET", path: "/api/collections/vault/records/" + pb.records[i],
		header: []string{"Authorization: " + pb.owners[i]}}}
}

func (pb *pocketbase) write(i int) []request {
	return []request{{
		method: "PATCH", path: "/api/collections/vault/records/" + pb.records[i],
		header: []string{"Authorization: " + pb.owners[i]},
		body:   fmt.Sprintf(`{"value":%q}`, vaultValue()),
	}}
}
