// Command vault-svc serves the vault. Run it with -config to print its settings.
package main

import (
	"github.com/realmgate/realmgate/pkg/service"
	vault "github.com/realmgate/realmgate/vault-svc"
)

func main() { service.Main(vault.Program()) }
