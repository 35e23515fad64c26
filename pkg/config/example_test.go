package config_test

import (
	"fmt"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
)

func ExampleLoad() {
	var c struct {
		Addr     string        `env:"ADDR" envDefault:"127.0.0.1:8080" doc:"Where the server listens."`
		Timeout  time.Duration `env:"TIMEOUT" envDefault:"30s" doc:"Longest request."`
		Password config.Secret `env:"PASSWORD,required" doc:"Password of the database."`
	}
	err := config.Load(&c, []string{"ADDR=:80", "PASSWORD=hunter2"})
	fmt.Println(c.Addr, c.Timeout, c.Password, len(c.Password.Reveal()), err)

	fmt.Println(config.Load(&c, []string{"TIMEOUT=soon"}) != nil)
	// Output:
	// :80 30s [hidden] 7 <nil>
	// true
}
