package app

import (
	"context"
	"fmt"
	"os"
	"time"
)

// watchEvery is how often the settings file is looked at. Asking for its time costs a microsecond, and sees what notices of the kernel do
// not: a file on a network disk, one that is mounted into a container, a link that is pointed elsewhere.
const watchEvery = time.Second

// watch has the settings file read again when it has changed, and has then been left alone for a moment, until ctx ends.
func (a *App) watch(ctx context.Context) error {
	name := a.steering.config().File
	if name == "" || a.steering.load == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	read := stamp(name) // of the content that was taken over, or refused
	last := read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := stamp(name)
		if now == last && now != read {
			read = now
			_ = a.Reload(ctx) // says itself what is wrong
		}
		last = now
	}
}

// stamp tells versions of a file apart.
func stamp(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "absent"
	}
	return fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size())
}

// Reload reads the settings file again, as SIGHUP asks, and applies what may change while running. With an error nothing has changed.
func (a *App) Reload(ctx context.Context) error {
	a.service.tell("RELOADING=1", "MONOTONIC_USEC="+monotonic())
	defer a.service.tell("READY=1")
	return a.steering.Reload(ctx)
}
