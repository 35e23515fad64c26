package admin

import (
	"errors"

	"github.com/realmgate/realmgate/pkg/config"
)

// FirstAdminConfig holds the settings of the first admin.
type FirstAdminConfig struct {
	Email    string        `env:"ADMIN_EMAIL" doc:"E-mail address of the first admin, created at start while there is no admin."`
	Password config.Secret `env:"ADMIN_PASSWORD" doc:"Password of the first admin."`
}

// Validate reports when only one of the two settings is given.
func (c FirstAdminConfig) Validate() error {
	if (c.Email == "") != (c.Password == "") {
		return errors.New("ADMIN_EMAIL and ADMIN_PASSWORD belong together")
	}
	return nil
}
