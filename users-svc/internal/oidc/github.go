package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

// gitHub is the provider GitHub, or a GitHub Enterprise Server. It has no ID tokens: the API says
// who the owner of the access token is.
type gitHub struct {
	oauth    oauth2.Config
	url, api string
	client   *http.Client
}

func newGitHub(cfg GitHubConfig, callback string, client *http.Client) *gitHub {
	url := strings.TrimRight(cfg.URL, "/")
	api := url + "/api/v3"
	if url == "https://github.com" {
		api = "https://api.github.com"
	}
	return &gitHub{url: url, api: api, client: client, oauth: oauth2.Config{
		ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret.Reveal(), RedirectURL: callback,
		Scopes: []string{"read:user", "user:email"},
		Endpoint: oauth2.Endpoint{AuthURL: url + "/login/oauth/authorize",
			TokenURL: url + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams}}}
}

// authURL returns the address of the authorization page with PKCE (RFC 7636) and state.
func (g *gitHub) authURL(_ context.Context, flow secretsOf) (string, error) {
	return g.oauth.AuthCodeURL(flow.state, oauth2.S256ChallengeOption(flow.verifier())), nil
}

// claims exchanges the code, and reads the user and the addresses.
func (g *gitHub) claims(ctx context.Context, answer callbackAnswer, flow secretsOf) (claims, error) {
	out := claims{Issuer: g.url}
	err := noting(ctx, func(ctx context.Context) error {
		tokens, err := g.oauth.Exchange(context.WithValue(ctx, oauth2.HTTPClient, g.client), answer.Code,
			oauth2.VerifierOption(flow.verifier()))
		if err != nil {
			return fmt.Errorf("exchange the code: %w", withoutBody(err))
		}
		var user struct {
			ID   int64
			Name string
		}
		if err := g.get(ctx, "/user", tokens.AccessToken, &user); err != nil {
			return err
		}
		if user.ID <= 0 {
			return errors.New("the user has no id")
		}
		var addresses []struct {
			Email             string
			Primary, Verified bool
		}
		if err := g.get(ctx, "/user/emails", tokens.AccessToken, &addresses); err != nil {
			return err
		}
		out.Subject, out.Name = strconv.FormatInt(user.ID, 10), user.Name
		for _, address := range addresses {
			if address.Primary {
				out.Email, out.EmailVerified = address.Email, address.Verified
			}
		}
		return nil
	})
	return out, err
}

// get reads a resource of the API.
func (g *gitHub) get(ctx context.Context, path, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.api+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/vnd.github+json")
	res, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
