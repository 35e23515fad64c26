package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSeveralAcceptLinesAreOneList(t *testing.T) {
	t.Parallel()
	d := openDoor(t)
	ada := d.users.signIn(t)
	request := func(path string) string {
		return d.wire(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nAccept: application/json\r\nAccept: application/problem+json\r\nConnection: close\r\n\r\n",
			path, ada.token))
	}
	if got := request("/nowhere"); !strings.Contains(got, "Content-Type: application/problem+json\r\n") {
		t.Errorf("an error of the gateway: %s", got)
	}
	request("/api/v1/vault/keys")
	if got := d.vault.got()[0].header["Accept"]; !slices.Equal(got, []string{"application/json, application/problem+json"}) {
		t.Errorf("the service got %q", got)
	}
}
