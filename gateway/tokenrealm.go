package gateway

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
)

// realmOf reconciles ?realm_id= with the host's realm (contract, section 8): either, or both alike.
func realmOf(query []byte, host string) (string, error) {
	if len(query) == 0 {
		return host, nil
	}
	args := fasthttp.AcquireArgs()
	defer fasthttp.ReleaseArgs(args)
	args.ParseBytes(query)
	asked := strings.ToLower(string(args.Peek("realm_id")))
	switch {
	case asked == "":
		return host, nil
	case !id.Valid(asked):
		return "", apperr.InvalidField("/realm_id", "must be 24 hexadecimal characters")
	case host != "" && asked != host:
		return "", apperr.InvalidField("/realm_id", "must be the realm of the host, or left out")
	}
	return asked, nil
}

// inRealm keeps an auth token inside of its realms (contract, section 7). The clients look for these words in the messages.
func inRealm(g *auth.Grant, realm string) error {
	switch {
	case realm == "" && (len(g.Realms) > 0 || !g.AllowNoRealm):
		return apperr.New(apperr.Forbidden, "REALM_SCOPE_REQUIRED", "This token requires a realm-scoped URL")
	case realm != "" && len(g.Realms) > 0 && !slices.Contains(g.Realms, realm):
		return apperr.New(apperr.Forbidden, "REALM_NOT_ALLOWED", "This token is not valid for realm "+realm)
	}
	return nil
}
