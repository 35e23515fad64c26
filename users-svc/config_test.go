package users_test

import (
	"strings"
	"testing"

	users "github.com/realmgate/realmgate/users-svc"
)

// TestPublicURLMustBeOne: it begins the links of mails, as a person sees and follows them.
func TestPublicURLMustBeOne(t *testing.T) {
	t.Parallel()
	for value, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "https://realmgate.example": true, "https://example.com/realmgate/": true,
		"": false, "example.com": false, "javascript:alert(1)": false, "https://": false, "https://example.com/?a=b": false, "https://example.com/#x": false, "ftp://example.com": false,
	} {
		var c users.Config
		c.Mail.PublicURL = value
		if refused := strings.Contains(c.Validate().Error(), "PUBLIC_URL must be"); refused == good {
			t.Errorf("PUBLIC_URL=%q: refused %v", value, refused)
		}
	}
}
