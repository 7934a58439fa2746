package endpoints

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

var (
	errGone    = errors.New("gone")    // the endpoint took it, or not, and did not answer
	errRefused = errors.New("refused") // no connection
	errRecord  = errors.New("record")  // the store does not want the record
)

// site is a store at several addresses, each of which fails as it is told.
type site struct {
	*Set
	fails  []error // of requests and probes, by endpoint
	pings  atomic.Int64
	mu     sync.Mutex
	sent   []int // endpoints, in the order in which requests went there
	takes  time.Duration
	freeze bool // nothing answers
}

func newSite(n int) *site {
	s := &site{fails: make([]error, n)}
	c := Config{
		Backend: "search",
		Ping: func(ctx context.Context, i int) error {
			s.pings.Add(1)
			return s.answer(ctx, i)
		},
		Judge: func(err error) Sign {
			if errors.Is(err, errRecord) {
				return Sound
			}
			return Faulty
		},
		Unsent:   func(err error) bool { return errors.Is(err, errRefused) },
		Classify: func(op string, err error) *backends.Error { return backends.AsError(op, "search", err) },
	}
	for i := range n {
		c.Addresses = append(c.Addresses, fmt.Sprint("node-", i))
	}
	s.Set = New(c)
	return s
}

func (s *site) answer(ctx context.Context, i int) error {
	if s.freeze {
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(s.takes)
	return s.fails[i]
}

func (s *site) request(ctx context.Context) error {
	return s.Do(ctx, func(ctx context.Context, i int) error {
		s.mu.Lock()
		s.sent = append(s.sent, i)
		s.mu.Unlock()
		return s.answer(ctx, i)
	})
}

// asked is where requests went since the last time.
func (s *site) asked() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.sent
	s.sent = nil
	return list
}

// states are the endpoints' states by their first letters.
func (s *site) states() string {
	var b strings.Builder
	for _, e := range s.List() {
		b.WriteByte(e.State[0])
	}
	return b.String()
}

// step is one thing that happens to a set.
type step struct {
	endpoint int
	what     string
	fails    error
}

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		rapid.IntRange(0, 3).Draw(t, "endpoint"),
		rapid.SampledFrom([]string{"fails", "request", "request", "probe", "give up"}).Draw(t, "what"),
		rapid.SampledFrom([]error{nil, errGone, errRefused, errRecord}).Draw(t, "fails"),
	}
})

// dumb is the set as it should be.
type dumb struct {
	failed []int
	down   []bool
}

func (d *dumb) note(i int, err error) {
	if err == nil || errors.Is(err, errRecord) {
		d.failed[i], d.down[i] = 0, false
		return
	}
	d.failed[i]++
	d.down[i] = d.down[i] || d.failed[i] >= trips
}

// request answers the endpoints that a request is sent to.
func (d *dumb) request(fails []error) (asked []int) {
	for i, err := range fails {
		if d.down[i] {
			continue
		}
		asked = append(asked, i)
		if d.note(i, err); !errors.Is(err, errRefused) {
			break
		}
	}
	return asked
}

// compare does the steps with both, and answers what differs.
func compare(ctx context.Context, n int, list []step) error {
	s, d := newSite(n), &dumb{make([]int, n), make([]bool, n)}
	for at, step := range list {
		i := step.endpoint % n
		switch step.what {
		case "fails":
			s.fails[i] = step.fails
		case "request":
			if !s.Up() {
				continue // it would probe by itself
			}
			_ = s.request(ctx)
			if got, want := s.asked(), d.request(s.fails); fmt.Sprint(got) != fmt.Sprint(want) {
				return fmt.Errorf("step %d: asked are %v, want %v", at, got, want)
			}
		case "probe":
			err := s.Probe(ctx, s.all[i].address)
			if (err == nil) != (s.fails[i] == nil) {
				return fmt.Errorf("step %d: a probe answers %w, want %w", at, err, s.fails[i])
			}
			d.note(i, s.fails[i])
		case "give up":
			given, cancel := context.WithCancel(ctx)
			done := s.At(given, i)
			cancel()
			done(errGone)
		}
		want := make([]byte, n)
		for j, down := range d.down {
			want[j] = map[bool]byte{true: 'd', false: 'u'}[down]
		}
		if got := s.states(); got != string(want) {
			return fmt.Errorf("step %d: the endpoints are %s, want %s", at, got, want)
		}
	}
	return nil
}

// The set does what a dumb model says, whatever fails: requests go to the first endpoint that is up, and to the next
// when they were not sent; three failures in a row, and nothing else, take an endpoint down; a probe that is answered
// brings it back; what is given up says nothing.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		n, list := rapid.IntRange(1, 4).Draw(r, "endpoints"), rapid.SliceOfN(steps, 1, 60).Draw(r, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = compare(t.Context(), n, list) })
		if err != nil {
			r.Fatal(err)
		}
	})
}

// Requests go back to the preferred endpoint as soon as a probe finds it up, and the list says since when and why.
func TestReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(2)
		s.takes = 10 * time.Millisecond
		s.fails[0] = errRefused
		for range 5 {
			if err := s.request(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprint(s.asked()); got != "[0 1 0 1 0 1 1 1]" {
			t.Errorf("asked are %s", got)
		}
		list := s.List()
		if list[0].State != backends.EndpointDown || list[0].Error != "refused" || list[0].Since.IsZero() || list[1].Latency != s.takes || s.First() != 1 {
			t.Errorf("the list is %+v", list)
		}
		if s.pings.Load() != 0 {
			t.Error("a request probed, though an endpoint is up")
		}
		s.fails[0] = nil
		if err := s.Probe(t.Context(), "node-0"); err != nil {
			t.Fatal(err)
		}
		_ = s.request(t.Context())
		if got := s.asked(); len(got) != 1 || got[0] != 0 || s.List()[0].Error != "" {
			t.Errorf("asked are %v, the list is %+v", got, s.List())
		}
	})
}

// What was given up says nothing of the endpoint, nor does the silence that somebody waited for less than a second;
// longer silence does.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(1)
		s.freeze = true
		for _, c := range []struct {
			cancel bool
			wait   time.Duration
			want   string
		}{{true, time.Minute, "u"}, {false, 900 * time.Millisecond, "u"}, {false, 2 * time.Second, "d"}} {
			for range trips {
				ctx, cancel := context.WithTimeout(t.Context(), c.wait)
				if c.cancel {
					time.AfterFunc(c.wait/2, cancel)
				}
				if err := s.request(ctx); err == nil {
					t.Error("a request was answered")
				}
				cancel()
			}
			if got := s.states(); got != c.want {
				t.Errorf("%+v: it is %s", c, got)
			}
		}
	})
}

// While nothing is up a request is not sent; it probes first, but not more often than four times a second; while a
// probe is under way the endpoint is being tried, and a second probe waits for the first.
func TestNothingIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(1)
		s.fails[0] = errGone
		for range trips {
			_ = s.request(t.Context())
		}
		_ = s.asked()
		for begun := time.Now(); time.Since(begun) < time.Second; time.Sleep(10 * time.Millisecond) {
			err := s.request(t.Context())
			if _, ok := errors.AsType[*DownError](err); !ok || !strings.Contains(err.Error(), "node-0: gone") {
				t.Fatalf("got %v", err)
			}
		}
		if n, sent := s.pings.Load(), s.asked(); len(sent) > 0 || n < 2 || n > 4 {
			t.Errorf("%d requests were sent, %d probes", len(sent), n)
		}
		s.takes, s.fails[0] = time.Second, nil
		time.Sleep(onDemand)
		done := make(chan error, 2)
		go func() { done <- s.Probe(t.Context(), "node-0") }()
		synctest.Wait()
		if got := s.states(); got != "t" {
			t.Errorf("it is %s", got)
		}
		go func() { done <- s.request(t.Context()) }()
		synctest.Wait()
		if len(s.asked()) > 0 {
			t.Error("a request was sent beside the probe")
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := s.states(); got != "u" {
			t.Errorf("it is %s", got)
		}
	})
}

// An address that is none of the store's is refused, and a probe ends with its context.
func TestProbeRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(1)
		if err := s.Probe(t.Context(), "elsewhere"); backends.ClassOf(err) != backends.Rejected {
			t.Errorf("got %v", err)
		}
		s.freeze = true
		begun := time.Now()
		if err := s.Probe(t.Context(), "node-0"); err == nil || time.Since(begun) > rest+pingTime {
			t.Errorf("got %v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.all[0].probing <- struct{}{}
		if err := s.Probe(ctx, "node-0"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		long := strings.Repeat("é", longest)
		if got := cut(long); len(got) > longest+len("…") || !strings.HasPrefix(got, "é") {
			t.Errorf("an error of %d bytes is kept", len(got))
		}
	})
}
