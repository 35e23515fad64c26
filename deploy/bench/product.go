package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// product holds the four services, each in a separate process.
type product struct {
	gateway, users, vault, activity *instance
	internalKeys                    map[string]string // by service
	shared                          []string          // settings of all services
	accounts                        []account
}

// instance is a running service.
type instance struct {
	*process
	addr, admin string
}

// startProduct starts users-svc, vault-svc, activity-svc and a gateway.
func (b *bench) startProduct(ctx context.Context) error {
	p := &b.product
	p.internalKeys = map[string]string{}
	for _, service := range []string{"users-svc", "vault-svc", "activity-svc"} {
		p.internalKeys[service] = rand.Text() + rand.Text()
	}
	keyset, err := exec.CommandContext(ctx, filepath.Join(b.tools.bin, "vault-svc"), "keys", "generate").Output()
	if err != nil {
		return fmt.Errorf("vault-svc keys generate: %w", err)
	}
	sealing := make([]byte, 32)
	_, _ = rand.Read(sealing) // never returns an error
	p.shared = []string{
		"DATABASE_URL=" + b.backing.cluster.URL(databaseName), "NATS_URL=" + b.backing.natsURL,
		"REDIS_URL=" + b.backing.redisURL,
		"USERS_INTERNAL_KEYS=" + p.internalKeys["users-svc"], "VAULT_INTERNAL_KEYS=" + p.internalKeys["vault-svc"],
		"ACTIVITY_INTERNAL_KEYS=" + p.internalKeys["activity-svc"],
		"KEY_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(sealing),
		"VAULT_KEY_ENCRYPTION_KEY=" + strings.TrimSpace(string(keyset)),
		// The peers write no access log either. Rate limits are checked on each request, but are
		// too high to refuse one.
		"LOG_LEVEL=warn", "LOG_REQUESTS=errors", "RATE_LIMIT_USER=10000000/1m", "RATE_LIMIT_ADDRESS=100000000/1m",
		"RATE_LIMIT_SIGNUP=off",
		"RATE_LIMIT_REFRESH=off",
	}
	if p.users, err = b.startService(ctx, "users-svc", "users-svc", "USERS_ADDR"); err != nil {
		return err
	}
	if p.vault, err = b.startService(ctx, "vault-svc", "vault-svc", "VAULT_ADDR"); err != nil {
		return err
	}
	if p.activity, err = b.startService(ctx, "activity-svc", "activity-svc", "ACTIVITY_ADDR"); err != nil {
		return err
	}
	p.gateway, err = b.startGateway(ctx, "gateway", p.users.addr, p.vault.addr)
	return err
}

// startGateway starts another gateway with services at other addresses.
func (b *bench) startGateway(ctx context.Context, name, users, vault string) (*instance, error) {
	return b.startService(ctx, "gateway", name, "GATEWAY_ADDR", "JOURNAL_DIR="+filepath.Join(b.dir, "journal-"+name),
		"USERS_URL=http://"+users, "VAULT_URL=http://"+vault, "ACTIVITY_URL=http://"+b.product.activity.addr)
}

// startService starts the program under the given name, with its address in the setting
// addrVariable, and waits until it is ready.
func (b *bench) startService(ctx context.Context, program, name, addrVariable string, own ...string) (*instance,
	error) {
	addrs, err := b.freeAddrs(2)
	if err != nil {
		return nil, err
	}
	environ := append(append([]string{}, b.product.shared...), addrVariable+"="+addrs[0], "ADMIN_ADDR="+addrs[1])
	p, err := b.start(name, filepath.Join(b.tools.bin, program), append(environ, own...))
	if err != nil {
		return nil, err
	}
	i := &instance{process: p, addr: addrs[0], admin: addrs[1]}
	b.instances = append(b.instances, i)
	return i, p.answering(ctx, "http://"+addrs[1]+"/readyz")
}

// pids returns the processes of the whole product and its servers.
func (b *bench) pids() []int {
	p := b.product
	return []int{p.gateway.pid(), p.users.pid(), p.vault.pid(), p.activity.pid(), b.backing.postgresPID,
		b.backing.nats.pid(), b.backing.redis.pid()}
}

// account is a user who is signed in.
type account struct{ id, email, token, refresh string }

const accountPassword = "correct-Horse-7"

// accountCount is the number of users that share the load.
const accountCount = 16

// makeAccounts signs up users and signs them in through the gateway, once.
func (b *bench) makeAccounts(ctx context.Context) error {
	if b.product.accounts != nil {
		return nil
	}
	const n = accountCount
	b.product.accounts = make([]account, n)
	failures := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			b.product.accounts[i], failures[i] = signUp(b.product.gateway.addr,
				fmt.Sprintf("bench-%d-%s@example.com", i, strings.ToLower(rand.Text()[:6])))
		})
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// account returns the account of worker i.
func (b *bench) account(i int) account { return b.product.accounts[i%len(b.product.accounts)] }

func signUp(addr, email string) (account, error) {
	c, err := dial(addr)
	if err != nil {
		return account{}, err
	}
	defer c.close()
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, accountPassword)
	if _, err := c.call(request{method: "POST", path: "/api/v1/auth/signup", body: body}, 200); err != nil {
		return account{}, err
	}
	answer, err := c.call(request{method: "POST", path: "/api/v1/users/auth/login", body: body}, 200)
	if err != nil {
		return account{}, err
	}
	var tokens struct {
		Data struct {
			Token, RefreshToken string
			User                struct{ ID string }
		}
	}
	err = json.Unmarshal(answer, &tokens)
	return account{id: tokens.Data.User.ID, email: email, token: tokens.Data.Token, refresh: tokens.Data.RefreshToken},
		err
}

// call makes one request, wants one of the statuses, and returns the body.
func (c *conn) call(r request, want ...int) ([]byte, error) {
	answer, err := c.exchange(r.raw(c.addr), false)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	for _, status := range want {
		if answer.StatusCode() == status {
			return answer.Body(), nil
		}
	}
	return nil, fmt.Errorf("%s %s: got %d, want %v: %.300s", r.method, r.path, answer.StatusCode(), want, answer.Body())
}

// identity returns the header with which the gateway would forward a request of the account, for
// rows that measure a service alone. It expires after half a minute, so each cell needs a new one.
func (b *bench) identity(a account, audience string) (string, error) {
	return b.signedIdentity(a, audience, false)
}

func (b *bench) signedIdentity(a account, audience string, admin bool) (string, error) {
	keys, err := auth.NewInternalKeys(b.product.internalKeys[audience], time.Now)
	if err != nil {
		return "", err
	}
	signed, err := keys.Sign(auth.Identity{Kind: auth.Session, UserID: a.id, SessionID: a.id, Admin: admin,
		ClientAddr: "127.0.0.1"}, audience)
	return auth.IdentityHeader + ": " + signed, err
}
