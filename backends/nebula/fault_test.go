package nebula

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/nebulaserver"
)

func inserts(request string) bool { return strings.HasPrefix(request, "INSERT") }

// Whatever goes wrong with a statement, its class is honest, its advice helps, and it is sent once; written again, it
// is there.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  nebulaserver.Fault
		part   nebulaserver.PartFault
		class  backends.Class
		advice string
	}{
		"cut before":    {fault: nebulaserver.Fault{Drop: true}, class: backends.Unknown},
		"cut after":     {fault: nebulaserver.Fault{Drop: true, Execute: true}, class: backends.Unknown},
		"no right":      {fault: nebulaserver.Fault{Code: nebula.ErrorCode_E_BAD_PERMISSION, Text: "PermissionError: No permission to write data."}, class: backends.Denied, advice: "role"},
		"too large":     {fault: nebulaserver.Fault{Code: nebula.ErrorCode_E_SYNTAX_ERROR, Text: "SyntaxError: Query is too large (9 > 8)."}, class: backends.Rejected, advice: "max_allowed_query_size"},
		"something new": {fault: nebulaserver.Fault{Text: "Surprise!"}, class: backends.Unknown},
		"leader":        {part: nebulaserver.PartFault{Text: nebulaserver.LeaderChanged(3)}, class: backends.Transient},
		"buffer full":   {part: nebulaserver.PartFault{Text: nebulaserver.BufferFull(3)}, class: backends.Overload},
		"no answer":     {part: nebulaserver.PartFault{Text: nebulaserver.RPCFailure}, class: backends.Unknown, advice: "storage_client_timeout_ms"},
		"blocked":       {part: nebulaserver.PartFault{Text: nebulaserver.WriteBlocked}, class: backends.Transient},
		"memory":        {part: nebulaserver.PartFault{Text: nebulaserver.MemoryExceeded}, class: backends.Overload, advice: "memory"},
		"stalled":       {part: nebulaserver.PartFault{Text: nebulaserver.WriteStalled}, class: backends.Overload},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, to := faulty(t, nil)
			if c.part.Text != "" {
				s.InjectPart(c.part)
			} else {
				c.fault.Match = inserts
				s.Inject(c.fault)
			}
			r := symbol("b", 2)
			_, err := b.Write(t.Context(), to, []backends.Record{r})
			if e := backends.AsError("", "", err); e.Class != c.class || !strings.Contains(e.What(), c.advice) {
				t.Errorf("got %v, want %s", err, c.class)
			}
			if n := len(written(s)); n > 1 {
				t.Errorf("%d statements for one", n)
			}
			b.mustWrite(t, to, r)
			if got := b.all(t, to); !slices.Equal(got, []string{"a 1", "b 2"}) {
				t.Errorf("stored are %v", got)
			}
		})
	}
}

// A session that the server has forgotten is made anew, and the statement is carried out once: the server had not
// looked at it.
func TestSessionExpired(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	s.DropSessions()
	b.mustWrite(t, to, symbol("b", 2))
	if got := written(s); len(got) != 1 {
		t.Errorf("carried out: %q", got)
	}
	s.Inject(nebulaserver.Fault{Match: inserts, Code: nebula.ErrorCode_E_SESSION_INVALID, Text: "Session not existed!", Times: renewals})
	if _, err := b.Write(t.Context(), to, []backends.Record{symbol("c", 2)}); backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
}

// After a restart of graphd writes go on: one statement at most has an outcome that is not known, and none is sent
// twice behind our back.
func TestRestart(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	s.Restart()
	r := symbol("b", 2)
	_, err := b.Write(t.Context(), to, []backends.Record{r})
	if err != nil && backends.ClassOf(err) != backends.Unknown {
		t.Errorf("got %v", err)
	}
	b.mustWrite(t, to, r)
	if n := len(written(s)); n > 2 {
		t.Errorf("%d statements were carried out", n)
	}
	if got := b.all(t, to); !slices.Equal(got, []string{"a 1", "b 2"}) {
		t.Errorf("stored are %v", got)
	}
}

// A connection that was left alone is looked at before it is used; a read whose answer is lost is repeated.
func TestIdleConnection(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	for _, c := range b.pool.idle {
		c.used = c.used.Add(-2 * idleCheck)
	}
	s.Disconnect()
	b.mustWrite(t, to, symbol("b", 2)) // the first one, though all connections were dead
	s.Inject(nebulaserver.Fault{Match: func(r string) bool { return strings.HasPrefix(r, "FETCH") }, Drop: true})
	if found, err := b.Lookup(t.Context(), to, []string{"b", "x"}); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}

// A partition that is slow holds up its own statement until the context ends; what became of that one is not known,
// others go on meanwhile.
func TestSlowPartition(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	s.Inject(nebulaserver.Fault{Match: func(r string) bool {
		if inserts(r) && strings.Contains(r, `"slow"`) {
			cancel()
			return true
		}
		return false
	}, Delay: 100 * time.Millisecond})
	_, err := b.Write(ctx, to, []backends.Record{symbol("slow", 2)})
	if backends.ClassOf(err) != backends.Unknown {
		t.Errorf("got %v", err)
	}
	b.mustWrite(t, to, symbol("b", 2))
	b.mustWrite(t, to, symbol("slow", 3))
	if _, err := b.Write(ctx, to, []backends.Record{symbol("c", 2)}); backends.ClassOf(err) != backends.Transient {
		t.Errorf("before it was sent: %v", err)
	}
}

// When one statement of a Write fails, the others are answered for.
func TestPartFails(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	var records []backends.Record
	for i := range maxRows + 10 {
		records = append(records, symbol(fmt.Sprint("k", i), 2))
	}
	s.Inject(nebulaserver.Fault{Match: func(r string) bool { return inserts(r) && strings.Contains(r, `"k3"`) }, Text: "Storage Error: " + nebulaserver.LeaderChanged(1)})
	results, err := b.Write(t.Context(), to, records)
	if err != nil {
		t.Fatal(err)
	}
	if results[3].Outcome != backends.Failed || results[3].Err.Class != backends.Transient || results[maxRows+5].Outcome != backends.Applied {
		t.Errorf("got %v and %v", results[3], results[maxRows+5])
	}
}

// A statement that the server refuses for one row is halved until it is that row alone.
func TestBisected(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, nil)
	s.Inject(nebulaserver.Fault{Match: func(r string) bool { return inserts(r) && strings.Contains(r, `"bad"`) }, Times: 100, Text: "Storage Error: Out of range value."})
	records := []backends.Record{gone("never", 2), symbol("b", 2), symbol("c", 2), symbol("bad", 2), symbol("d", 2), symbol("e", 2)}
	results, err := backends.WriteBisected(t.Context(), b, to, records)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if bad := records[i].Key == "bad"; bad != (r.Outcome == backends.Failed) {
			t.Errorf("%s: %v", records[i].Key, r)
		}
	}
	if got := b.all(t, to); !slices.Equal(got, []string{"a 1", "b 2", "c 2", "d 2", "e 2"}) {
		t.Errorf("stored are %v", got)
	}
}

// Many backends and writers at once hold no more sessions than they may, leave none behind, and lose nothing while
// connections are cut.
func TestSessions(t *testing.T) {
	t.Parallel()
	b, s, to := faulty(t, dict{"sessions": 3})
	done := make(chan error)
	for w := range 8 {
		go func() {
			var err error
			for i := range 20 {
				r := symbol(fmt.Sprintf("w%d-%d", w, i), 2)
				for _, err = b.Write(t.Context(), to, []backends.Record{r}); err != nil; {
					if c := backends.ClassOf(err); c != backends.Unknown && c != backends.Transient {
						break
					}
					_, err = b.Write(t.Context(), to, []backends.Record{r})
				}
			}
			done <- err
		}()
	}
	for range 3 {
		s.Disconnect()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := b.all(t, to); len(got) != 161 {
		t.Errorf("%d are stored", len(got))
	}
	if busy, idle := b.pool.inUse(); busy != 0 || idle > 3 {
		t.Errorf("%d sessions are busy, %d idle", busy, idle)
	}
}
