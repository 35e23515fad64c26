package mail

import (
	"github.com/realmgate/realmgate/pkg/input"
)

const maxToken = 512

// TokenField reads the required field that holds a mailed token.
func TokenField(o *input.Object) string {
	if !o.Has("token") {
		o.Fail("token", "is required")
	}
	token, _ := o.String("token", 1, maxToken)
	return token
}
