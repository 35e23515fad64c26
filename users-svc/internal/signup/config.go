package signup

import (
	"github.com/realmgate/realmgate/pkg/config"
)

// Config says who may have an account.
type Config struct {
	Enabled        bool          `env:"SIGNUP_ENABLED" envDefault:"true" doc:"Whether strangers may sign up."`
	InviteRequired bool          `env:"INVITE_REQUIRED" envDefault:"false" doc:"Whether the free tier is only for those who signed up with one of INVITE_CODES."`
	InviteCodes    config.Secret `env:"INVITE_CODES" doc:"Comma-separated invite codes."`
}
