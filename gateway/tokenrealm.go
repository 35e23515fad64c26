package gateway

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
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
