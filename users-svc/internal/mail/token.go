package mail

import (
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
)

const maxToken = 512 // characters

// TokenField reads the required field "token" with a mailed token.
func TokenField(body *input.Object) string {
	field.Require(body, "token")
	token, _ := body.String("token", 1, maxToken)
	return token
}
