package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"runtime"

	"golang.org/x/crypto/argon2"
)

// Subjects of the sign-in rows.
const (
	hashName    = "Argon2id alone (19 MiB, 2 passes, 1 lane)"
	loginName   = "login through the gateway"
	refreshName = "refresh through the gateway"
)

// signInGroup compares login with its password hash alone, and refresh with login.
func signInGroup() group {
	return group{name: "sign-in", title: "Signing in and staying signed in",
		prepare: func(ctx context.Context, b *bench) (plan, error) {
			if err := b.makeAccounts(ctx); err != nil {
				return plan{}, err
			}
			conns := 4 * runtime.NumCPU() // enough that a new hash can begin whenever one ends
			servers := []int{b.product.gateway.pid(), b.product.users.pid(), b.backing.postgresPID}
			login := func(i int) []request {
				body := fmt.Sprintf(`{"email":%q,"password":%q}`, b.account(i).email, accountPassword)
				return []request{{method: "POST", path: "/api/v1/users/auth/login", body: body}}
			}
			return plan{
				subjects: []subject{
					{name: hashName, load: hashLoad(runtime.NumCPU())},
					{name: loginName, load: httpLoad(b.product.gateway.addr, conns, login, 200), servers: servers},
					{name: refreshName, load: refreshLoad(b, vaultConns), servers: servers},
				},
				targets: []target{
					{what: "login ÷ its Argon2id hash alone", subject: loginName, baseline: hashName,
						figure: throughput(), atLeast: true, bound: 0.95},
					{what: "refresh ÷ login", subject: refreshName, baseline: loginName, figure: throughput(),
						atLeast: true, bound: 20},
				},
				notes: []string{fmt.Sprintf("Hashes are computed by one goroutine for each CPU in the load "+
					"generator; logins come over %d connections, refreshes over %d, each with a session of its own "+
					"whose token it rotates. CPU and memory: gateway, users-svc and PostgreSQL.",
					conns, vaultConns)},
			}, nil
		}}
}

// hashWorker computes password hashes with the defaults of users-svc.
type hashWorker struct{ salt []byte }

func hashLoad(workers int) load {
	return load{conns: workers, worker: func(int) (worker, error) {
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // never returns an error
		return &hashWorker{salt}, nil
	}}
}

func (w *hashWorker) do() (bool, error) {
	return len(argon2.IDKey([]byte(accountPassword), w.salt, 2, 19456, 1, 32)) == 32, nil
}

func (w *hashWorker) close() {}

// refreshWorker rotates the refresh token of its own session.
type refreshWorker struct {
	conn  *conn
	token *string // outlives the worker: a token replaced longer than REFRESH_GRACE ago ends the session
}

// refreshLoad signs in each worker once for the whole run, outside of the measurement.
func refreshLoad(b *bench, conns int) load {
	tokens := make([]string, conns)
	return load{conns: conns, worker: func(i int) (worker, error) {
		c, err := dial(b.product.gateway.addr)
		if err != nil {
			return nil, err
		}
		if tokens[i] == "" {
			if tokens[i], err = logIn(c, b.account(i)); err != nil {
				return nil, err
			}
		}
		return &refreshWorker{conn: c, token: &tokens[i]}, nil
	}}
}

func logIn(c *conn, a account) (string, error) {
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, a.email, accountPassword)
	answer, err := c.call(request{method: "POST", path: "/api/v1/users/auth/login", body: body}, 200)
	if err != nil {
		return "", err
	}
	var tokens struct{ Data struct{ RefreshToken string } }
	err = json.Unmarshal(answer, &tokens)
	return tokens.Data.RefreshToken, err
}

func (w *refreshWorker) do() (bool, error) {
	answer, err := w.conn.call(request{method: "POST", path: "/api/v1/users/auth/refresh",
		body: fmt.Sprintf(`{"refreshToken":%q}`, *w.token)}, 200)
	if err != nil {
		return false, err
	}
	var tokens struct{ Data struct{ RefreshToken string } }
	if err := json.Unmarshal(answer, &tokens); err != nil {
		return false, err
	}
	*w.token = tokens.Data.RefreshToken
	return *w.token != "", nil
}

func (w *refreshWorker) close() { w.conn.close() }
