package mail

import (
	"net/url"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config holds the settings of mail. Without a mail server no mail is sent, and every address
// counts as verified.
type Config struct {
	URL       config.Secret `env:"SMTP_URL" doc:"Mail server: smtp://user:password@host:587 (STARTTLS when offered) or smtps://host:465; ?tls=required or off."`
	From      string        `env:"MAIL_FROM" envDefault:"Realmgate <no-reply@localhost>" doc:"Sender of mails."`
	PublicURL string        `env:"PUBLIC_URL" doc:"Where people reach the product, perhaps with a path; links in mails begin with it (http://127.0.0.1:8080)."`
	VerifyTTL time.Duration `env:"MAIL_VERIFY_TTL" envDefault:"48h" doc:"How long a verification link is good for."`
	ResetTTL  time.Duration `env:"MAIL_RESET_TTL" envDefault:"1h" doc:"How long a password reset link is good for."`
	// RetryAfter is the pause after the first attempt; it doubles with each further attempt.
	RetryAfter time.Duration `removed:"MAIL_RETRY_AFTER" envDefault:"20s"`
}

// On reports whether there is a mail server.
func (c Config) On() bool { return c.URL != "" }

// BaseURL returns PUBLIC_URL without a final slash, or the default address of a gateway.
func (c Config) BaseURL() string {
	if c.PublicURL == "" {
		return "http://127.0.0.1:8080"
	}
	return strings.TrimRight(c.PublicURL, "/")
}

// tokenURL returns the address of the page that redeems a token. The token is in the fragment,
// which browsers do not send to servers, so that it is in no access log.
func (c Config) tokenURL(purpose, token string) string {
	page := "/verify-email"
	if purpose == PurposeReset {
		page = "/reset-password"
	}
	return c.BaseURL() + page + "#token=" + token
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	if c.On() {
		_, err := newSMTPSender(c)
		p.Must(err == nil, "%w", err)
	}
	p.Must(c.VerifyTTL > 0, "MAIL_VERIFY_TTL must be above 0s")
	p.Must(c.ResetTTL > 0, "MAIL_RESET_TTL must be above 0s")
	baseURL, err := url.Parse(c.BaseURL())
	p.Must(err == nil && (baseURL.Scheme == "http" || baseURL.Scheme == "https") && baseURL.Hostname() != "" &&
		baseURL.RawQuery == "" &&
		baseURL.Fragment == "", "PUBLIC_URL must be http://host or https://host, perhaps with a port and a path")
	return p.Err()
}
