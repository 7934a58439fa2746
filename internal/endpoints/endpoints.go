// Package endpoints keeps the addresses of a store apart: which of them is asked, which is left alone because it failed
// too often in a row, and when it is asked again.
//
// Requests go to the first address, in the order in which they are configured, that is up. Each has a breaker: after
// three failures in a row it is down, and no request goes there until a probe, which is none of the requests, has
// succeeded. Probes are made by who uses the backend (backends.Failover). So that a process that makes none is not cut
// off for ever, a request that finds nothing up makes one itself, before anything of it is sent.
package endpoints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/outflow-db/outflow/backends"
)

const (
	trips     = 3                      // failures in a row after which an endpoint is down
	rest      = 100 * time.Millisecond // it is left alone for at least so long
	onDemand  = 250 * time.Millisecond // between two probes that requests make
	pingTime  = 2 * time.Second        // for a probe
	impatient = time.Second            // who waits less for an answer learns nothing from getting none
	longest   = 300                    // bytes of an error that is kept
)

// Sign is what the outcome of a request says of the endpoint.
type Sign int

// The signs.
const (
	Sound  Sign = iota // it answered, whatever it said
	Silent             // nothing: the request was given up, or never got so far
	Faulty             // no connection, no answer, or it says that it cannot serve
)

// Config is what a Set needs to know of a store. Its functions are called from several goroutines at once.
type Config struct {
	Backend   string   // the backend's name
	Addresses []string // in the order of preference, without credentials
	// Ping asks the endpoint with the index, cheaply, whether it can serve. Its errors are judged as those of requests.
	Ping func(ctx context.Context, i int) error
	// Judge says what an error says of the endpoint. It is not asked about requests that the caller gave up.
	Judge func(err error) Sign
	// Unsent says that nothing of a request can have reached the endpoint, so that it may go to another one.
	Unsent func(err error) bool
	// Classify makes an error of the backend's.
	Classify func(op string, err error) *backends.Error
	Log      *slog.Logger
}

// Set is the endpoints of one store. It is safe for concurrent use.
type Set struct {
	c   Config
	mu  sync.Mutex // also held while a breaker is asked or told something: what it is and what is done about it is one
	all []*endpoint
}

type endpoint struct {
	address string
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	probing chan struct{} // holds one token while it is probed
	trying  bool          // it is down, and is being probed
	probed  time.Time     // when it was last probed
	since   time.Time
	latency time.Duration
	err     string
}

// New makes a set in which all endpoints are up.
func New(c Config) *Set {
	s := &Set{c: c}
	for _, a := range c.Addresses {
		s.all = append(s.all, &endpoint{address: a, probing: make(chan struct{}, 1), breaker: newBreaker(a)})
	}
	return s
}

// What a breaker is told: it knows errors, not signs.
var (
	errFaulty = errors.New("faulty")
	errSilent = errors.New("silent")
)

func newBreaker(address string) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: address, MaxRequests: 1, Timeout: rest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= trips },
		IsExcluded:  func(err error) bool { return errors.Is(err, errSilent) },
	})
}

// DownError is a request that was not sent, because no endpoint is up.
type DownError struct {
	reason string
}

// Error names the endpoints with what happened there.
func (e *DownError) Error() string { return "no endpoint is up: " + e.reason }

// Advice is what an operator should do about a DownError.
const Advice = "nothing to do: it is retried until an endpoint is up again; if it lasts, look at the store, the network and the setting addresses"

// Do sends a request to the first endpoint that is up, and, as long as it is certain that nothing of it was sent, to
// the others that are. send gets the index of the endpoint. When none is up it fails with a *DownError.
func (s *Set) Do(ctx context.Context, send func(ctx context.Context, i int) error) error {
	var failed error
	tried := make([]bool, len(s.all))
	for {
		i, done, err := s.Begin(ctx, func(i int) bool { return !tried[i] })
		switch {
		case err != nil && failed != nil:
			return failed
		case err != nil:
			return err
		}
		tried[i] = true
		failed = send(ctx, i)
		done(failed)
		if failed == nil || ctx.Err() != nil || !s.c.Unsent(failed) {
			return failed
		}
	}
}

// Begin chooses the endpoint for a request, the first that is up and wanted, and answers how to say what came of it:
// nil, or the error. It fails with a *DownError, or with that of ctx.
func (s *Set) Begin(ctx context.Context, wanted func(i int) bool) (i int, done func(error), err error) {
	if i, done := s.admit(ctx, wanted); done != nil {
		return i, done, nil
	}
	if s.Up() {
		return 0, nil, s.down() // those that are up were tried
	}
	if err := s.revive(ctx); err != nil {
		return 0, nil, err
	}
	if i, done := s.admit(ctx, wanted); done != nil {
		return i, done, nil
	}
	return 0, nil, s.down()
}

// At is Begin for an endpoint that the caller has chosen, such as one to which it has a connection. It is asked even if
// it is not up; then nothing is learnt from it.
func (s *Set) At(ctx context.Context, i int) (done func(error)) {
	if _, done := s.admit(ctx, func(j int) bool { return j == i }); done != nil {
		return done
	}
	return func(error) {}
}

// First is the endpoint to which requests go now, or -1 if none is up.
func (s *Set) First() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.IndexFunc(s.all, (*endpoint).up)
}

// admit lets a request go to the first endpoint that is up and wanted. done is nil if there is none.
func (s *Set) admit(ctx context.Context, wanted func(int) bool) (i int, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.all {
		if !wanted(i) || e.breaker.State() != gobreaker.StateClosed {
			continue
		}
		if tell, err := e.breaker.Allow(); err == nil {
			return i, s.judged(ctx, e, tell)
		}
	}
	return 0, nil
}

// judged is how to say what came of a request that begins now.
func (s *Set) judged(ctx context.Context, e *endpoint, tell func(error)) func(error) {
	began := time.Now()
	return func(err error) {
		took := time.Since(began)
		sign := Sound
		switch {
		case err == nil:
		case errors.Is(ctx.Err(), context.Canceled), ctx.Err() != nil && took < impatient:
			sign = Silent
		default:
			sign = s.c.Judge(err)
		}
		s.note(ctx, e, tell, sign, took, err)
	}
}

// note tells the breaker, and takes over what that makes of the endpoint.
func (s *Set) note(ctx context.Context, e *endpoint, tell func(error), sign Sign, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := e.up()
	switch sign {
	case Sound:
		tell(nil)
		if e.latency == 0 {
			e.latency = took
		}
		e.latency += (took - e.latency) / 8
	case Silent:
		tell(errSilent)
	case Faulty:
		tell(errFaulty)
		e.err = cut(err.Error())
	}
	after := e.up()
	if before == after {
		return
	}
	e.since = time.Now()
	if after {
		e.err = ""
		s.log(ctx, slog.LevelInfo, "an endpoint is up again", e)
	} else {
		s.log(ctx, slog.LevelWarn, "an endpoint is down: it is left alone until a probe succeeds", e)
	}
}

func (s *Set) log(ctx context.Context, level slog.Level, text string, e *endpoint) {
	if s.c.Log != nil {
		s.c.Log.Log(ctx, level, text, "backend", s.c.Backend, "endpoint", e.address, "error", e.err)
	}
}

// up says whether requests go there. The caller holds the lock.
func (e *endpoint) up() bool { return e.breaker.State() == gobreaker.StateClosed }

// Up says whether any endpoint is.
func (s *Set) Up() bool { return s.First() >= 0 }

// List is the endpoints as backends.Failover tells them.
func (s *Set) List() []backends.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]backends.Endpoint, len(s.all))
	for i, e := range s.all {
		list[i] = backends.Endpoint{Address: e.address, State: backends.EndpointUp, Since: e.since, Latency: e.latency}
		if !e.up() {
			list[i].State, list[i].Error = backends.EndpointDown, e.err
			if e.trying {
				list[i].State = backends.EndpointTrying
			}
		}
	}
	return list
}

// Probe asks the endpoint with the address, as backends.Failover wants it.
func (s *Set) Probe(ctx context.Context, address string) error {
	for i, e := range s.all {
		if e.address != address {
			continue
		}
		if err := s.probe(ctx, i); err != nil {
			return s.c.Classify("probe", err)
		}
		return nil
	}
	return &backends.Error{
		Op: "probe", Backend: s.c.Backend, Class: backends.Rejected, Advice: "take an address from the setting addresses",
		Err: fmt.Errorf("the store has no endpoint %s", address),
	}
}

// probe asks an endpoint, one probe after the other. One that is down is asked when it has rested.
func (s *Set) probe(ctx context.Context, i int) error {
	e := s.all[i]
	select {
	case e.probing <- struct{}{}:
		defer func() { <-e.probing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, rest+pingTime)
	defer cancel()
	done, err := s.rested(ctx, e)
	if err != nil {
		return err
	}
	err = s.c.Ping(ctx, i)
	done(err)
	return err
}

// rested waits until the breaker lets a probe through.
func (s *Set) rested(ctx context.Context, e *endpoint) (done func(error), err error) {
	for {
		s.mu.Lock()
		tell, err := e.breaker.Allow()
		if err == nil {
			e.probed, e.trying = time.Now(), !e.up()
			done := s.judged(ctx, e, tell)
			s.mu.Unlock()
			return func(err error) {
				done(err)
				s.mu.Lock()
				defer s.mu.Unlock()
				e.trying = false
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(rest / 4):
		}
	}
}

// revive probes the endpoints that were not probed just now, until one is up. Who comes meanwhile waits for that.
func (s *Set) revive(ctx context.Context) error {
	for i, e := range s.all {
		s.mu.Lock()
		due := time.Since(e.probed) >= onDemand || len(e.probing) > 0
		s.mu.Unlock()
		if !due || s.Up() {
			continue
		}
		if err := s.probe(ctx, i); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if s.Up() {
		return nil
	}
	return s.down()
}

// down is the error of a request for which there is no endpoint.
func (s *Set) down() error {
	var parts []string
	for _, e := range s.List() {
		parts = append(parts, e.Address+": "+e.Error)
	}
	return &DownError{reason: cut(strings.Join(parts, "; "))}
}

func cut(text string) string {
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
