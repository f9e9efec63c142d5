package schedule_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/truehop/truehop/schedule"
)

// A loop passes over each account at the times of its spec until the context ends.
func ExampleLoop() {
	spec, err := schedule.Parse("@every 5m")
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	loop := &schedule.Loop{
		Accounts: []schedule.Account{{Name: "work", Spec: spec, AtStart: true}},
		Pass: func(_ context.Context, account string) error {
			fmt.Println("passing over", account)
			stop()
			return nil
		},
	}
	if err := loop.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: passing over work
}

func ExampleSpec_Next() {
	// Clocks in Berlin were put forward at two o'clock on that night.
	spec, err := schedule.Parse("TZ=Europe/Berlin 30 2 * * *")
	if err != nil {
		log.Fatal(err)
	}
	at := time.Date(2026, time.March, 28, 12, 0, 0, 0, time.UTC)
	for range 2 {
		at = spec.Next(at)
		fmt.Println(at)
	}
	// Output:
	// 2026-03-29 01:30:00 +0000 UTC
	// 2026-03-30 00:30:00 +0000 UTC
}
