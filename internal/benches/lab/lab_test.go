package lab

import (
	"context"
	"math"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/outflow-db/outflow/backends"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A goal is met exactly up to its border, and a value that could not be measured meets none.
func TestGoals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row  Row
		goal string
		ok   bool
	}{
		{AtMost("n", 1.3, "x", 1.3), "<= 1.3", true},
		{AtMost("n", 1.31, "x", 1.3), "<= 1.3", false},
		{AtLeast("n", 0.95, "x", 0.95), ">= 0.95", true},
		{AtLeast("n", 0.94, "x", 0.95), ">= 0.95", false},
		{AtMost("n", math.NaN(), "x", 1), "<= 1", false},
		{AtLeast("n", math.Inf(1), "x", 1), ">= 1", false},
		{Fact("n", 5, "x"), "", true},
	} {
		if c.row.Goal != c.goal || c.row.OK != c.ok {
			t.Errorf("%+v: want goal %q, ok %v", c.row, c.goal, c.ok)
		}
	}
}

// Values are rounded for people, the goal is compared before.
func TestRounding(t *testing.T) {
	t.Parallel()
	for value, want := range map[float64]float64{12345.6: 12345, 1.23456: 1.235, 0.000123456: 0.0001235, 0: 0} {
		if got := Fact("n", value, "x").Value; got != want {
			t.Errorf("%v is shown as %v, want %v", value, got, want)
		}
	}
	if r := AtMost("n", 1.30001, "x", 1.3); r.OK {
		t.Errorf("%+v: it is above the goal", r)
	}
}

// Medians and quantiles are of the values, whatever their order, and zero for none.
func TestStatistics(t *testing.T) {
	t.Parallel()
	values := []float64{9, 1, 5, 3}
	got := []float64{
		Median(values), Median(values[:3]), Median[float64](nil), Quantile(values, 0), Quantile(values, 0.5),
		Quantile(values, 1), Quantile[float64](nil, 0.5), Mean(values), Mean[float64](nil),
	}
	if diff := cmp.Diff([]float64{4, 5, 0, 1, 5, 9, 0, 4.5, 0}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{9, 1, 5, 3}, values); diff != "" {
		t.Errorf("the values were changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{2, 0.5}, Ratios([]float64{4, 1}, []float64{2, 2})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The processor time of a tree counts a child, while it runs and after its end.
func TestTreeCPU(t *testing.T) {
	t.Parallel()
	// It burns until its standard input ends, and says how far it is.
	shell := exec.CommandContext(t.Context(), "sh", "-c", "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); echo done; read x")
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer shell.Wait() //nolint:errcheck // it was heard
	defer in.Close()
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	used, err := TreeCPU(shell.Process.Pid)
	if err != nil || used < tick {
		t.Errorf("%v, %v: the shell and its child have worked for longer than a tick", used, err)
	}
	if _, err := TreeCPU(1 << 30); err == nil {
		t.Error("a process that does not exist has used processor time")
	}
}

// Own memory is that of a running program, with a peak not below what it has now.
func TestOwnMemory(t *testing.T) {
	t.Parallel()
	m, err := OwnMemory()
	if err != nil || m.Resident < 1<<20 || m.Peak < m.Resident {
		t.Errorf("%+v, %v", m, err)
	}
	if cpu, err := OwnCPU(); err != nil || cpu <= 0 {
		t.Errorf("%v, %v", cpu, err)
	}
	if _, err := readStat("/proc/self/statm"); err == nil {
		t.Errorf("a file of another form was read as stat of %d", os.Getpid())
	}
}

// A gauge counts what is written, wakes who waits for a number, and fails while broken.
func TestGauge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &Gauge{Delay: time.Second, Concurrency: 7}
		b, err := g.Open(t.Context(), "store")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- g.Await(t.Context(), 3) }()
		for range 2 {
			if _, err := b.Write(t.Context(), backends.Target{}, make([]backends.Record, 2)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		n, most := g.Records()
		calls := g.Calls()
		if n != 4 || most != 1 || len(calls) != 2 || calls[1].End.Sub(calls[1].Start) != time.Second || b.Features().Concurrency != 7 {
			t.Errorf("%d records, %d at once, calls %v", n, most, calls)
		}
		outage(t, g, b)
	})
}

// outage is the part of TestGauge with a broken store.
func outage(t *testing.T, g *Gauge, b backends.Backend) {
	t.Helper()
	g.Break()
	_, werr := b.Write(t.Context(), backends.Target{}, nil)
	perr := b.Prepare(t.Context(), nil)
	if backends.ClassOf(werr) != backends.Transient || backends.ClassOf(perr) != backends.Transient {
		t.Errorf("a broken store answers %v and %v", werr, perr)
	}
	back := g.Mend()
	time.Sleep(2 * time.Second)
	if _, err := b.Write(t.Context(), backends.Target{}, nil); err != nil {
		t.Error(err)
	}
	if d := <-back; d != 3*time.Second {
		t.Errorf("back after %v, want 3s", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Await(ctx, 1000); err == nil {
		t.Error("a cancelled Await has not failed")
	}
}

// A store that costs nothing takes vectors apart from the document.
func TestNullLayout(t *testing.T) {
	t.Parallel()
	got, err := null{}.Layout(backends.Target{Columns: []backends.Column{{Name: "a", Type: "text"}, {Name: "v", Type: "real[]"}}})
	if diff := cmp.Diff(backends.Layout{Doc: []string{"a"}, Raw: []string{"v"}}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
