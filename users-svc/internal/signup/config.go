package signup

import (
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// Config holds the settings of sign-up.
type Config struct {
	Enabled        bool          `env:"SIGNUP_ENABLED" envDefault:"true" doc:"Whether anyone may sign up."`
	InviteRequired bool          `env:"INVITE_REQUIRED" envDefault:"false" doc:"Whether the free tier needs a sign-up with one of INVITE_CODES."`
	InviteCodes    config.Secret `env:"INVITE_CODES" doc:"Comma-separated invite codes."`
	Domains        string        `env:"SIGNUP_DOMAINS" doc:"Comma-separated domains whose addresses may sign up; empty: all."`
}

// domains returns the domains of SIGNUP_DOMAINS in the form of email keys.
func (c Config) domains() []string {
	var domains []string
	for domain := range strings.SplitSeq(c.Domains, ",") {
		if domain = strings.TrimSpace(domain); domain != "" {
			domains = append(domains, domainOf("any@"+domain))
		}
	}
	return domains
}

// domainOf returns the domain of an address in the form of email keys, "" for an invalid address.
func domainOf(address string) string {
	mailbox, err := mailaddr.Parse(address)
	if err != nil {
		return ""
	}
	return mailbox.Key[strings.LastIndexByte(mailbox.Key, '@')+1:]
}

// Validate reports domains that are none.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(!slices.Contains(c.domains(), ""), "SIGNUP_DOMAINS must be domains such as example.com, separated by commas")
	return p.Err()
}
