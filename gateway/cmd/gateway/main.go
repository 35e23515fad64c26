// Command gateway owns nothing: it runs package gateway, the public door. Start reading there.
package main

import (
	"github.com/realmgate/realmgate/gateway"
	"github.com/realmgate/realmgate/pkg/service"
)

func main() { service.Main(gateway.Program()) }
