package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of processor time in /proc, the same on every Linux that Go knows.
const tick = 10 * time.Millisecond

// OwnCPU is the processor time that this process has used, its children not counted.
func OwnCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// TreeCPU is the processor time that a process and its children have used, those that have ended included: of
// PostgreSQL's main process, that of the server. It needs /proc.
func TreeCPU(pid int) (time.Duration, error) {
	children, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, file := range children {
		s, err := readStat(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended: its parent has its time
		}
		if err != nil {
			return 0, err
		}
		switch pid {
		case s.parent:
			sum += s.own
		case s.pid:
			sum += s.own + s.ended
		}
	}
	if sum == 0 {
		return 0, fmt.Errorf("reading processor time: no process %d in /proc", pid)
	}
	return sum, nil
}

// stat is what /proc says of a process.
type stat struct {
	pid, parent int
	own, ended  time.Duration // its time, and that of children that it has waited for
}

func readStat(file string) (s stat, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	// The name, in parentheses, may hold anything; the state, field 3, follows it (proc(5)).
	name := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[name+1:]))
	if name < 0 || len(fields) < 15 {
		return s, fmt.Errorf("reading %s: it has another form", file)
	}
	var times [4]int64
	for i := range times {
		times[i], err = strconv.ParseInt(fields[11+i], 10, 64)
		if err != nil {
			return s, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	s.own, s.ended = time.Duration(times[0]+times[1])*tick, time.Duration(times[2]+times[3])*tick
	if s.pid, err = strconv.Atoi(filepath.Base(filepath.Dir(file))); err != nil {
		return s, fmt.Errorf("reading %s: %w", file, err)
	}
	s.parent, err = strconv.Atoi(fields[1])
	return s, err
}

// Memory is how much of it this process uses, in bytes.
type Memory struct {
	Resident, Peak int64 // as the system sees it, now and at most so far
	Live           int64 // what Go's last collection left
}

// OwnMemory reads the memory of this process. It needs /proc.
func OwnMemory() (m Memory, err error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m, fmt.Errorf("reading memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		kb, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return m, fmt.Errorf("reading memory: %w", err)
		}
		switch f[0] {
		case "VmRSS:":
			m.Resident = kb << 10
		case "VmHWM:":
			m.Peak = kb << 10
		}
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	m.Live = int64(live[0].Value.Uint64()) //nolint:gosec // no heap is that large
	return m, nil
}

// ResetPeak gives unused memory back and begins a new peak. It needs /proc.
func ResetPeak() error {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak of memory: %w", err)
	}
	return nil
}

// Meter adds up the processor time of this process and of a server.
type Meter struct {
	pid          int
	worker, tree time.Duration
}

// Meter starts to measure.
func (l *Lab) Meter() (*Meter, error) {
	m := &Meter{pid: l.Server.PID()}
	var err error
	if m.tree, err = TreeCPU(m.pid); err != nil {
		return nil, err
	}
	m.worker, err = OwnCPU()
	return m, err
}

// Read is the processor time used since the start, by this process and by PostgreSQL.
func (m *Meter) Read() (worker, server time.Duration, err error) {
	if worker, err = OwnCPU(); err != nil {
		return 0, 0, err
	}
	if server, err = TreeCPU(m.pid); err != nil {
		return 0, 0, err
	}
	return worker - m.worker, server - m.tree, nil
}
