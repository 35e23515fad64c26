package apperr_test

import (
	"errors"
	"fmt"

	"github.com/realmgate/realmgate/pkg/apperr"
)

func ExampleNew() {
	err := apperr.New(apperr.Conflict, "EMAIL_TAKEN", "This address has an account already")
	fmt.Println(err.Kind.Status(), err.Code, err.Message)

	// Errors without a kind are internal: the answer does not describe them.
	unknown := apperr.From(errors.New("connection reset by peer"))
	fmt.Println(unknown.Kind.Status(), unknown.Code)
	// Output:
	// 409 EMAIL_TAKEN This address has an account already
	// 500 INTERNAL_ERROR
}
