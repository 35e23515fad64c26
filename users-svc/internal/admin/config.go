package admin

import (
	"errors"

	"github.com/realmgate/realmgate/pkg/config"
)

// FirstAdminConfig has the settings of the first admin.
type FirstAdminConfig struct {
	Email    string        `env:"ADMIN_EMAIL" doc:"Address of the first admin, created at start while there is no admin."`
	Password config.Secret `env:"ADMIN_PASSWORD" doc:"Password of the first admin."`
}

// Validate checks the rules that tags cannot express.
func (c FirstAdminConfig) Validate() error {
	if (c.Email == "") != (c.Password == "") {
		return errors.New("ADMIN_EMAIL and ADMIN_PASSWORD belong together")
	}
	return nil
}
