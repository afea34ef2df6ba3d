package app

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the time by which Type=notify-reload tells a reload that it asked for from one before: CLOCK_MONOTONIC in microseconds.
func monotonic() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "0"
	}
	return strconv.FormatInt(now.Nano()/int64(time.Microsecond), 10)
}
