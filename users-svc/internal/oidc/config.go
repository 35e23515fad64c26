package oidc

import (
	"cmp"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config holds the settings of sign-in with OpenID Connect and GitHub.
type Config struct {
	Issuers      map[string]IssuerConfig `group:"OIDC_"`
	GitHub       GitHubConfig
	RedirectURIs string `env:"AUTH_REDIRECT_URIS" doc:"Comma-separated addresses of applications to which a sign-in with a provider may return, besides PUBLIC_URL."`
}

// IssuerConfig holds the settings of one issuer. Its name in the API is the lower-case NAME of
// OIDC_NAME_ISSUER.
type IssuerConfig struct {
	Issuer       string        `env:"ISSUER" doc:"Address of the issuer, https:// (GOOGLE has https://accounts.google.com by default)."`
	ClientID     string        `env:"CLIENT_ID,required" doc:"Client id of this installation at the issuer."`
	ClientSecret config.Secret `env:"CLIENT_SECRET" doc:"Client secret; none for a public client."`
	Scopes       string        `env:"SCOPES" envDefault:"openid email profile" doc:"Scopes to ask for, separated by spaces."`
	Label        string        `env:"LABEL" doc:"Name of the provider for people; by default NAME in lower case with a capital."`
}

// GitHubConfig holds the settings of GitHub, which has OAuth 2.0 without OpenID Connect.
type GitHubConfig struct {
	ClientID     string        `env:"GITHUB_CLIENT_ID" doc:"Client id of the OAuth app at GitHub; turns sign-in with GitHub on."`
	ClientSecret config.Secret `env:"GITHUB_CLIENT_SECRET" doc:"Client secret of the OAuth app at GitHub."`
	URL          string        `env:"GITHUB_URL" envDefault:"https://github.com" doc:"Address of GitHub, or of a GitHub Enterprise Server."`
}

// github is the name of the provider without OpenID Connect.
const github = "github"

// google is the name of the provider whose issuer is known.
const (
	google       = "google"
	googleIssuer = "https://accounts.google.com"
)

// issuerOf returns the issuer of the settings of an entry, "" for none.
func (c IssuerConfig) issuerOf(name string) string {
	if name == google {
		return cmp.Or(c.Issuer, googleIssuer)
	}
	return c.Issuer
}

// labelOf returns the name of the provider for people.
func (c IssuerConfig) labelOf(name string) string {
	return cmp.Or(c.Label, strings.ToUpper(name[:1])+name[1:])
}

// redirectURIs returns the addresses of AUTH_REDIRECT_URIS.
func (c Config) redirectURIs() []string {
	var uris []string
	for uri := range strings.SplitSeq(c.RedirectURIs, ",") {
		if uri = strings.TrimSpace(uri); uri != "" {
			uris = append(uris, uri)
		}
	}
	return uris
}

// Validate reports settings that are malformed or do not fit together.
func (c Config) Validate() error {
	var p config.Problems
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		issuer, prefix := c.Issuers[name], "OIDC_"+strings.ToUpper(name)
		if name == github {
			p.Must(false, "%s_ISSUER: GitHub is no issuer of OpenID Connect; set GITHUB_CLIENT_ID", prefix)
			continue
		}
		p.Must(secureURL(issuer.issuerOf(name)),
			"%s_ISSUER must be https://host, perhaps with a port and a path; http only for a loopback address", prefix)
		p.Must(issuer.ClientID == "" || slices.Contains(strings.Fields(issuer.Scopes), "openid"),
			"%s_SCOPES must have openid", prefix)
	}
	p.Must((c.GitHub.ClientID == "") == (c.GitHub.ClientSecret == ""),
		"GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET belong together")
	p.Must(c.GitHub.URL == "" || secureURL(c.GitHub.URL),
		"GITHUB_URL must be https://host, perhaps with a port and a path; http only for a loopback address")
	for _, uri := range c.redirectURIs() {
		p.Must(returnable(uri), "AUTH_REDIRECT_URIS: %q must be https://…, http://… of a loopback address, or the address of "+
			"an app such as com.example.app:/signed-in, without a fragment", uri)
	}
	return p.Err()
}

// secureURL reports whether text is an address of a provider: https, or http of a loopback address.
func secureURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && secure(u) && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// secure reports whether requests to u are protected: by TLS, or because they stay on this machine.
func secure(u *url.URL) bool {
	return u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

// isLoopback reports whether host is a name or an address of this machine (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// returnable reports whether a sign-in may return to the address: of a web page, or of an app with
// a scheme of its own, which has a dot (RFC 8252, section 7.1) and so runs no script.
func returnable(text string) bool {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Fragment != "" || strings.Contains(text, "#") || u.User != nil:
		return false
	case u.Scheme == "https" || u.Scheme == "http":
		return secure(u)
	}
	return strings.Contains(u.Scheme, ".")
}
