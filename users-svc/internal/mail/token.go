package mail

import (
	"github.com/realmgate/realmgate/pkg/input"
)

const maxToken = 512 // characters

// TokenField reads the required field "token" with a mailed token.
func TokenField(body *input.Object) string {
	if !body.Has("token") {
		body.Fail("token", "is required")
	}
	token, _ := body.String("token", 1, maxToken)
	return token
}
