package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program under measurement. Its standard output goes nowhere, as with a user who does not keep the log.
type process struct {
	addr    string
	metrics string // where the sidecar's metrics are; empty for the others
	cmd     *exec.Cmd
	ended   chan struct{}
}

// startProcess runs command with nothing in its environment but env and waits until it listens on addr. Go programs
// raise their own limit of open files to the hard one, so nothing is done about that here.
func startProcess(ctx context.Context, dir, addr string, command, env []string) (*process, error) {
	complaints, err := os.CreateTemp(dir, "stderr-*")
	if err != nil {
		return nil, err
	}
	defer complaints.Close()
	p := &process{addr: addr, cmd: exec.CommandContext(ctx, command[0], command[1:]...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	p.cmd.Stderr = complaints
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return p, nil
		}
		select {
		case <-p.ended:
		case <-time.After(20 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
			p.stop()
		}
		said, _ := os.ReadFile(complaints.Name())
		return nil, fmt.Errorf("%s does not listen on %s: %v\n%s", strings.Join(command, " "), addr, p.cmd.ProcessState, bytes.TrimSpace(said))
	}
}

// stop ends the process, by force if it is still there after two seconds.
func (p *process) stop() error {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(2 * time.Second):
		err = p.cmd.Process.Kill()
		<-p.ended
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// cpu returns the CPU time that the process has used so far, in steps of 10 ms.
func (p *process) cpu() (time.Duration, error) {
	text, err := p.proc("stat")
	if err != nil {
		return 0, err
	}
	return parseCPU(text)
}

// rss returns the resident set of the process in KiB.
func (p *process) rss() (int, error) {
	text, err := p.proc("status")
	if err != nil {
		return 0, err
	}
	return parseRSS(text)
}

func (p *process) proc(file string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		return "", fmt.Errorf("%s has ended, or this is not Linux: %w", p.cmd.Path, err)
	}
	return string(text), nil
}

// tick is the unit of the times in /proc: USER_HZ is 100 on every architecture Go runs on.
const tick = 10 * time.Millisecond

// parseCPU returns utime + stime of /proc/PID/stat (proc_pid_stat(5)): the 14th and 15th field. The second one, the
// command in parentheses, may itself hold spaces and parentheses.
func parseCPU(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat holds %q: too few fields", stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// parseRSS returns VmRSS of /proc/PID/status (proc_pid_status(5)) in KiB.
func parseRSS(status string) (int, error) {
	_, after, found := strings.Cut(status, "VmRSS:")
	fields := strings.Fields(after)
	if !found || len(fields) < 2 || fields[1] != "kB" {
		return 0, errors.New("/proc/PID/status holds no VmRSS in kB")
	}
	return strconv.Atoi(fields[0])
}
