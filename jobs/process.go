package jobs

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/outflow-db/outflow/outbox"
)

// self identifies this process. Host is empty where process ids of this and other processes cannot be compared.
func self() outbox.Process {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	pid := os.Getpid()
	p := outbox.Process{Owner: fmt.Sprintf("%s-%d-%s", name, pid, uuid.NewString()[:8]), PID: pid}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return p
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return p
	}
	p.Host = name + " " + strings.TrimSpace(string(boot)) + " " + space
	p.Started, _ = startedAt(pid)
	return p
}

// startedAt is when the process was started, in the kernel's ticks, and whether it runs; a zombie does not.
func startedAt(pid int) (string, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	// The name, in parentheses, may hold anything; the state is field 3 and the start time field 22 (proc(5)).
	_, rest, found := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	return fields[19], true
}

// alive says whether a process of this host still runs. When in doubt it does.
func alive(p outbox.Process) bool {
	started, runs := startedAt(p.PID)
	if !runs {
		_, err := os.Stat("/proc/" + strconv.Itoa(p.PID))
		return err != nil && !os.IsNotExist(err)
	}
	return started == p.Started
}
