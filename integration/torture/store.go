package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/outflow-db/outflow/backends"
)

// store is the parent's: it keeps what it was sent last, and nothing of what was deleted. It outlives its clients,
// so that a request of a dead one can still arrive.
type store struct {
	*served
	t *torture

	mu      sync.Mutex
	r       *rand.Rand
	calm    bool                           // nothing goes wrong
	rows    map[string]map[string]held     // by backend with target, and key
	copies  map[string][]writeRequest      // by backend
	hold    func(pid int)                  // is told of the next sender that stands still; nil: none shall
	passed  int                            // full requests to the backend single since hold was set
	freeze  func(pid int, in writeRequest) // called when a request arrives
	gate    chan struct{}                  // requests wait until it is closed
	waiting map[string]bool                // records that have waited at the gate
	times   map[string]int                 // how often a record was written since the gate was shut
}

// held is a record in the store.
type held struct {
	version int64
	doc     string
}

func newStore(t *torture) (*store, error) {
	s := &store{t: t, r: t.random(1000), calm: true, rows: map[string]map[string]held{}, copies: map[string][]writeRequest{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /write", s.write)
	mux.HandleFunc("POST /copy", s.copy)
	mux.HandleFunc("POST /hold", s.held)
	mux.HandleFunc("POST /scan", s.scan)
	mux.HandleFunc("POST /lookup", s.lookup)
	var err error
	s.served, err = serve(mux)
	return s, err
}

// served is a server of the parent's.
type served struct {
	server *http.Server
	url    string
	ended  chan error
}

func serve(h http.Handler) (*served, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s := &served{&http.Server{Handler: h, ReadHeaderTimeout: time.Minute}, "http://" + listener.Addr().String(), make(chan error, 1)}
	go func() { s.ended <- s.server.Serve(listener) }()
	return s, nil
}

func (s *served) close(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if ended := <-s.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// fault is what goes wrong with a request.
type fault int

const (
	none      fault = iota
	refuse          // nothing is done, and the client is told
	overload        // the same, for another reason
	vanish          // nothing is done, and nobody is told
	loseHalf        // half of it is done, and nobody is told
	lose            // it is done, and nobody is told
	delay           // it is done, perhaps after the client has given up
	killDelay       // the client is killed, and then it is done
)

// turnsAway says whether nothing of a request is done, and tells its client so, unless nobody is told: then it does not
// return.
func (f fault) turnsAway(w http.ResponseWriter) bool {
	switch f {
	case refuse:
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	case overload:
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	case vanish:
		panic(http.ErrAbortHandler)
	case none, loseHalf, lose, delay, killDelay:
	}
	return false
}

// odds of the faults in a thousand.
var odds = []struct {
	fault fault
	of    int
}{{refuse, 30}, {overload, 20}, {vanish, 10}, {loseHalf, 15}, {lose, 25}, {delay, 40}, {killDelay, 4}}

// draw chooses what happens to a request, and how long it takes.
func (s *store) draw() (fault, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calm {
		return none, 0
	}
	wait := time.Duration(s.r.IntN(15)) * time.Millisecond
	x := s.r.IntN(1000)
	for _, o := range odds {
		if x -= o.of; x < 0 {
			if o.fault >= delay {
				wait = 200*time.Millisecond + time.Duration(s.r.IntN(2000))*time.Millisecond
			}
			return o.fault, wait
		}
	}
	return none, wait
}

// latest is how long after it was sent a request is still taken: less than late, and its sender gives up later than
// that it sends.
const latest = late - 300*time.Millisecond

// write is a request to write. It goes on when the client has gone.
func (s *store) write(w http.ResponseWriter, req *http.Request) {
	in, pid, sent, ok := s.read(w, req)
	if !ok {
		return
	}
	s.arrive(pid, in)
	fault, wait := s.draw()
	hold := s.holds(in)
	if hold {
		fault = none
	}
	s.t.count("store "+faultNames[fault], 1)
	s.pass(req.Context(), in)
	if fault == killDelay {
		s.t.fleet.killPID(pid)
	}
	time.Sleep(wait)
	if fault.turnsAway(w) {
		return
	}
	if fault == loseHalf {
		in.Records = in.Records[:len(in.Records)/2]
	}
	// What is sent before a stop arrives after it.
	if time.Since(later(sent, s.t.fleet.continued(pid))) > latest {
		s.t.count("store too late", 1)
		panic(http.ErrAbortHandler)
	}
	answer := s.apply(in)
	answer.Hold = hold
	s.answer(w, fault, answer)
}

var faultNames = map[fault]string{
	none: "served", refuse: "refused", overload: "overloaded", vanish: "lost requests", loseHalf: "lost halves",
	lose: "lost answers", delay: "delayed", killDelay: "delayed and killed",
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// answer tells what was refused: for each record, or, one time in three, by refusing it all.
func (s *store) answer(w http.ResponseWriter, f fault, a writeAnswer) {
	switch {
	case f == lose || f == loseHalf:
		panic(http.ErrAbortHandler)
	case a.Refused == nil:
		w.WriteHeader(http.StatusUnprocessableEntity)
	default:
		reply(w, a)
	}
}

// read decodes a request; who sent it and when are in its headers.
func (s *store) read(w http.ResponseWriter, req *http.Request) (in writeRequest, pid int, sent time.Time, ok bool) {
	var nano int64
	err := json.NewDecoder(req.Body).Decode(&in)
	if err == nil {
		pid, err = strconv.Atoi(req.Header.Get(headerPID))
	}
	if err == nil {
		nano, err = strconv.ParseInt(req.Header.Get(headerSent), 10, 64)
	}
	if err != nil { // a client that died in the middle
		w.WriteHeader(http.StatusBadRequest)
		return in, 0, sent, false
	}
	return in, pid, time.Unix(0, nano), true
}

// apply stores the records, but for poison. It answers nothing where it refuses all because of some.
func (s *store) apply(in writeRequest) writeAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := writeAnswer{Refused: make([]string, len(in.Records))}
	for i, r := range in.Records {
		if strings.Contains(string(r.Doc), "poison") {
			answer.Refused[i] = "poison"
		}
	}
	if slices.Contains(answer.Refused, "poison") && s.r.IntN(3) == 0 {
		return writeAnswer{}
	}
	target := in.Backend + " " + in.Target
	rows := s.rows[target]
	if rows == nil {
		rows = map[string]held{}
		s.rows[target] = rows
	}
	for i, r := range in.Records {
		switch {
		case answer.Refused[i] != "":
		case r.Deleted:
			delete(rows, r.Key)
		default:
			rows[r.Key] = held{r.Version, string(r.Doc)}
		}
		if s.times != nil && in.Backend == loose {
			s.times[in.Kind+" "+r.Key]++
		}
	}
	return answer
}

// copy keeps a copy of a request to another backend.
func (s *store) copy(w http.ResponseWriter, req *http.Request) {
	in, _, _, ok := s.read(w, req)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const most = 400
	if kept := s.copies[in.Backend]; len(kept) < most {
		s.copies[in.Backend] = append(kept, in)
	} else {
		kept[s.r.IntN(most)] = in
	}
	reply(w, true)
}

// scan answers a page of entries, and an empty one behind the last.
func (s *store) scan(w http.ResponseWriter, req *http.Request) {
	var in struct{ Target, After string }
	if json.NewDecoder(req.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.rows[in.Target] {
		if k > in.After {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	reply(w, s.entries(in.Target, keys[:min(len(keys), 500)]))
}

func (s *store) lookup(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Target string
		Keys   []string
	}
	if json.NewDecoder(req.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, s.entries(in.Target, in.Keys))
}

func (s *store) entries(target string, keys []string) []backends.Entry {
	entries := make([]backends.Entry, 0, len(keys))
	for _, k := range keys {
		if h, ok := s.rows[target][k]; ok {
			entries = append(entries, backends.Entry{Key: k, Version: h.version, Digest: backends.ContentDigest([]byte(h.doc), nil)})
		}
	}
	return entries
}

// documents is a copy of what the store holds of a backend and its target.
func (s *store) documents(target string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for k, h := range s.rows[target] {
		all[k] = h.doc
	}
	return all
}

func (s *store) has(target, key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.rows[target][key]
	return ok
}

// setCalm says whether things go wrong.
func (s *store) setCalm(calm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = calm
}

func reply(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
