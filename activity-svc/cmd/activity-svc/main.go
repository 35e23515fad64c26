// Command activity-svc keeps and serves the log of requests; activity-svc -config lists its
// settings.
package main

import (
	activity "github.com/realmgate/realmgate/activity-svc"
	"github.com/realmgate/realmgate/pkg/service"
)

func main() { service.Main(activity.Program()) }
