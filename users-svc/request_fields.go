package users

import (
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/input"
)

const (
	maxClient    = 256
	maxPages     = 10_000
	defaultLimit = 50
	maxLimit     = 100
)

// pageAndLimit reads the query parameters of a list.
func pageAndLimit(q *input.Query) (page, limit int) {
	return q.Int("page", 1, 1, maxPages), q.Int("limit", defaultLimit, 1, maxLimit)
}

// readClient reads how a client names itself: a string, or an object, which is kept as its JSON.
// What is too long is cut.
func readClient(o *input.Object) *string {
	raw, ok := o.Raw("client")
	if !ok {
		return nil
	}
	var text string
	if raw.Kind() == '{' {
		v, _ := o.JSONObject("client", 16<<10)
		text = string(v)
	} else {
		text, _ = o.String("client", 0, 16<<10)
	}
	if r := []rune(text); len(r) > maxClient {
		text = string(r[:maxClient])
	}
	if text == "" || !utf8.ValidString(text) {
		return nil
	}
	return &text
}
