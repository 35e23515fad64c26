// Command vault-svc keeps the vault; run it with -config for its settings.
package main

import (
	"github.com/realmgate/realmgate/pkg/service"
	vault "github.com/realmgate/realmgate/vault-svc"
)

func main() { service.Main(vault.Program()) }
