package input_test

import (
	"fmt"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
)

func ExampleParseObject() {
	o, err := input.ParseObject([]byte(`{"alias":"","is_admin":"yes","colour":"red"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	o.String("alias", 1, 100)
	o.Bool("is_admin")
	refusal := apperr.From(o.Err())
	fmt.Println(refusal.Code)
	for _, v := range refusal.Violations {
		fmt.Println(v.InstancePath, v.Message)
	}
	fmt.Println(o.Warnings())
	// Output:
	// VALIDATION_ERROR
	// /alias must not be empty
	// /is_admin must be a boolean
	// [unknown field /colour was ignored]
}
