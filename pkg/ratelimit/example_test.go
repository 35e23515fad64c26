package ratelimit_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Without Redis each process counts for itself.
func ExampleLimiter_Allow() {
	var rate ratelimit.Rate
	if err := rate.UnmarshalText([]byte("2/1m")); err != nil {
		fmt.Println(err)
		return
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer rdb.Close()
	limiter, err := ratelimit.New(rdb, func(error) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		fmt.Println(limiter.Allow(context.Background(), "login:192.0.2.1", rate, 1).Allowed)
	}
	// Output:
	// true
	// true
	// false
}
