package main

import (
	"context"
	"fmt"
	"net/http"
)

// arrive tells who waits for it that a request has come.
func (s *store) arrive(pid int, in writeRequest) {
	s.mu.Lock()
	freeze := s.freeze
	s.mu.Unlock()
	if freeze != nil {
		freeze(pid, in)
	}
}

// onArrival sets what is told of requests; nil ends it.
func (s *store) onArrival(freeze func(pid int, in writeRequest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeze = freeze
}

// onHold lets the sender of the third full request from now on to the backend single stand still when it has the
// answer, and tells fn: by then the portion behind the one that is written has been read.
func (s *store) onHold(fn func(pid int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold, s.passed = fn, 0
}

// holds says whether the sender of the request shall stand still.
func (s *store) holds(in writeRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold == nil || in.Backend != single || len(in.Records) < batchRecords {
		return false
	}
	s.passed++
	return s.passed >= 3
}

// held lets a sender go on that stands still.
func (s *store) held(w http.ResponseWriter, req *http.Request) {
	_, pid, _, ok := s.read(w, req)
	if !ok {
		return
	}
	s.mu.Lock()
	hold := s.hold
	s.hold = nil
	s.mu.Unlock()
	if hold != nil {
		hold(pid)
	}
	reply(w, false)
}

// shut lets requests wait until open, and counts what is written from now on.
func (s *store) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate, s.waiting, s.times = make(chan struct{}), map[string]bool{}, map[string]int{}
}

// open lets the requests pass.
func (s *store) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.gate)
	s.gate = nil
}

// pass waits at the gate, if it is shut.
func (s *store) pass(ctx context.Context, in writeRequest) {
	s.mu.Lock()
	gate := s.gate
	if gate != nil && in.Backend == loose {
		for _, r := range in.Records {
			s.waiting[in.Kind+" "+r.Key] = true
		}
	}
	s.mu.Unlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-ctx.Done():
	}
}

// atGate lists the records that wait, or have waited.
func (s *store) atGate() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]bool, len(s.waiting))
	for k := range s.waiting {
		all[k] = true
	}
	return all
}

// written is how often the record was written since the gate was shut.
func (s *store) written(kind, key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[kind+" "+key]
}

// deliver sends the copies of requests to their backends, however old they are: a guard keeps them out.
func (s *store) deliver(ctx context.Context) error {
	s.mu.Lock()
	copies := s.copies
	s.copies = map[string][]writeRequest{}
	s.mu.Unlock()
	for backend, list := range copies {
		for _, in := range list {
			if err := s.t.resend(ctx, backend, in); err != nil {
				return fmt.Errorf("sending an old request to backend %s: %w", backend, err)
			}
		}
		s.t.count("old requests sent again to "+backend, len(list))
	}
	return nil
}
