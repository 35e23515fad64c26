package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

// client sends requests to one gateway, each of them once. Most HTTP clients send a request again
// when its connection breaks, which would put it into the log twice.
type client struct {
	index int
	addr  string
	http  *fasthttp.HostClient
}

// patience is how long a client waits for an answer.
const patience = 10 * time.Second

func newClient(index int, addr string) *client {
	return &client{index: index, addr: addr, http: &fasthttp.HostClient{
		Addr: addr, MaxConns: 512, MaxIdemponentCallAttempts: 1, DisablePathNormalizing: true,
		NoDefaultUserAgentHeader: true,
		RetryIfErr:               func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
	}}
}

// request is a call of the API.
type request struct {
	method, path, query, token, body, agent string
}

// answer is a response; its status is 0 if none came.
type answer struct {
	status int
	body   []byte
}

func (c *client) send(r request) answer {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	uri := "http://" + c.addr + r.path
	if r.query != "" {
		uri += "?" + r.query
	}
	req.SetRequestURI(uri)
	req.Header.SetMethod(r.method)
	req.Header.SetContentType("application/json")
	req.Header.SetUserAgent(r.agent)
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	req.SetBodyString(r.body)
	if err := c.http.DoTimeout(req, res, patience); err != nil {
		return answer{}
	}
	return answer{status: res.StatusCode(), body: append([]byte(nil), res.Body()...)}
}

// code returns the error code of an answer.
func (a answer) code() string {
	var e struct{ Code string }
	_ = json.Unmarshal(a.body, &e) // a body without envelope has no code
	return e.Code
}

// data decodes the answer's data.
func (a answer) data(v any) error {
	return json.Unmarshal(a.body, &struct{ Data any }{v})
}

// call sends a request that is not part of the ledger, such as a preparation, and retries until the
// answer is 200 or 201.
func (c *client) call(r request, v any) error {
	var a answer
	for range 50 {
		if a = c.send(r); a.status == 200 || a.status == 201 {
			if v == nil {
				return nil
			}
			return a.data(v)
		}
		if a.status != 0 && a.status != 503 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s %s: got %d: %.300s", r.method, r.path, a.status, a.body)
}

// account is a user who is signed in.
type account struct {
	id, email, token, refresh string
}

const accountPassword = "correct-Horse-7"

// tokens is the data in the answer to a login or a refresh.
type tokens struct {
	Token        string
	RefreshToken string
	User         struct{ ID string }
}

// signUp creates an account and signs it in.
func signUp(c *client, email string) (account, error) {
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, accountPassword)
	if err := c.call(request{method: "POST", path: "/api/v1/auth/signup", body: body}, nil); err != nil {
		return account{}, err
	}
	return signIn(c, email, accountPassword)
}

func signIn(c *client, email, password string) (account, error) {
	var t tokens
	body := fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
	if err := c.call(request{method: "POST", path: "/api/v1/users/auth/login", body: body}, &t); err != nil {
		return account{}, err
	}
	if t.Token == "" {
		return account{}, errors.New("the login of " + email + " has no token")
	}
	return account{id: t.User.ID, email: email, token: t.Token, refresh: t.RefreshToken}, nil
}
