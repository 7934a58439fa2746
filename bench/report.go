package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/outflow-db/outflow/internal/benches/lab"
)

// table prints the rows.
func table(w io.Writer, rows []lab.Row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVALUE\tUNIT\tGOAL\tOK\tNOTE")
	for _, r := range rows {
		ok := "yes"
		switch {
		case !r.OK:
			ok = "NO"
		case r.Goal == "":
			ok = ""
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, strconv.FormatFloat(r.Value, 'f', -1, 64), r.Unit, r.Goal, ok, r.Note)
	}
	_ = t.Flush() // what a terminal does not take is lost
}

// write writes the rows to the file, and beside it what they were measured on.
func write(file string, rows []lab.Row, about environment) error {
	if err := writeJSON(file, rows); err != nil {
		return err
	}
	return writeJSON(strings.TrimSuffix(file, filepath.Ext(file))+".env.json", about)
}

func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// environment is where and when rows were measured.
type environment struct {
	Date       string            `json:"date"`
	Minutes    float64           `json:"minutes"` // how long it took
	Commit     string            `json:"commit"`
	Go         string            `json:"go"`
	System     string            `json:"system"`
	Processor  string            `json:"processor"`
	Cores      int               `json:"cores"`
	PostgreSQL string            `json:"postgresql"`
	Settings   map[string]string `json:"settings"`
	LoadBefore string            `json:"load_before"` // of the machine, over 1, 5 and 15 minutes: others disturb
	LoadAfter  string            `json:"load_after"`
	begun      time.Time
}

func surroundings() environment {
	now := time.Now()
	return environment{
		Date: now.UTC().Format(time.RFC3339), begun: now, Commit: commit(), Go: runtime.Version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Processor: processor(), Cores: runtime.NumCPU(),
		Settings: lab.Settings(), LoadBefore: loadAverage(),
	}
}

func (e *environment) finish() {
	e.LoadAfter = loadAverage()
	e.Minutes = float64(int(time.Since(e.begun).Minutes()*10)) / 10
}

// commit is the one that is checked out, as far as git tells.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output() //nolint:noctx // it takes no time
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// processor is the model, as far as the system tells.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(line, "\t :")
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(text))
	if err != nil || len(f) < 3 {
		return ""
	}
	return strings.Join(f[:3], " ")
}
