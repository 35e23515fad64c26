// Command users-svc serves accounts, sessions, auth tokens and provisioning; users-svc -config
// lists its settings.
package main

import (
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/users-svc"
)

func main() { service.Main(users.Program()) }
