package progress

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// On a terminal the line is drawn over itself when it changed, fits the width, and stays at the end.
func TestLineOnTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		text := holding("one")
		l := Start(&out, func() int { return 5 }, text.Load)
		pass(onTerminal)
		pass(onTerminal)
		text.Store("a long one")
		pass(onTerminal)
		l.Stop()
		const want = "\rone\x1b[K\ra lo\x1b[K\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

// Elsewhere there is a whole line now and then, and one at the end, but none twice.
func TestLineElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		text := holding("one")
		l := Start(&out, nil, text.Load)
		pass(2 * elsewhere)
		text.Store("two")
		l.Stop()
		if out.String() != "one\ntwo\n" {
			t.Errorf("got %q", out.String())
		}
	})
}

// Other output passes above the line, which comes back below it.
func TestLineLetsOthersPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := Start(&out, func() int { return 80 }, func() string { return "one" })
		pass(onTerminal)
		if n, err := l.Write([]byte("warning\n")); n != 8 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		pass(onTerminal)
		l.Stop()
		const want = "\rone\x1b[K\r\x1b[Kwarning\n\rone\x1b[K\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	})
}

// A text that becomes empty takes the line away.
func TestLineGoes(t *testing.T) {
	t.Parallel()
	for want, width := range map[string]func() int{"\rone\x1b[K\r\x1b[K": func() int { return 80 }, "one\n": nil} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			text := holding("one")
			l := Start(&out, width, text.Load)
			pass(elsewhere)
			text.Store("")
			l.Stop()
			if out.String() != want {
				t.Errorf("got %q, want %q", out.String(), want)
			}
		})
	}
}

// A bar is empty at nothing, full at everything and beyond, and never of another width.
func TestBar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{0, 10, "    "}, {10, 10, "████"}, {20, 10, "████"}, {5, 10, "██  "}, {9, 16, "██▎ "}, {0, 0, "    "}, {-1, 5, "    "},
	} {
		if got := Bar(c.done, c.total, 4); got != c.want {
			t.Errorf("%d of %d: got %q, want %q", c.done, c.total, got, c.want)
		}
	}
}

// text is a text that changes while it is shown.
type text struct{ v atomic.Value }

func holding(s string) *text {
	t := &text{}
	t.Store(s)
	return t
}

func (t *text) Store(s string) { t.v.Store(s) }
func (t *text) Load() string   { return t.v.Load().(string) }

// pass lets time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d + time.Millisecond)
	synctest.Wait()
}
