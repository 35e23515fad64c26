package signup

import (
	"github.com/realmgate/realmgate/pkg/config"
)

// Config holds the settings of sign-up.
type Config struct {
	Enabled        bool          `env:"SIGNUP_ENABLED" envDefault:"true" doc:"Whether anyone may sign up."`
	InviteRequired bool          `env:"INVITE_REQUIRED" envDefault:"false" doc:"Whether the free tier needs a sign-up with one of INVITE_CODES."`
	InviteCodes    config.Secret `env:"INVITE_CODES" doc:"Comma-separated invite codes."`
}
