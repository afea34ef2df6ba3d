package store_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/store"
)

func Example() {
	dir, err := os.MkdirTemp("", "state")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	for range 2 { // two processes, one after the other
		s, err := store.Open(store.Options{Dir: dir})
		if err != nil { // the directory is in use, or of a newer version
			fmt.Println(err)
			return
		}
		memory, _ := s.Restore(context.Background())
		fmt.Println("charges:", len(memory.Charges), "lost:", memory.Lost)

		now := time.Now()
		err = s.Charged(quota.Charge{
			ID: s.LastID() + 1, Scope: limit.Scope{Provider: "nvidia", Account: "default", Model: "m"}, At: now, Until: now.Add(time.Minute),
		})
		fmt.Println("on disk:", err == nil)
		s.Sent(s.LastID()+1, time.Now())
		_ = s.Close()
	}
	// Output:
	// charges: 0 lost: false
	// on disk: true
	// charges: 1 lost: false
	// on disk: true
}
