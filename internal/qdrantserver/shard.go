package qdrantserver

import (
	"slices"
	"sync"

	pb "github.com/qdrant/go-client/qdrant"
)

// point is one point. It is never changed: what changes is another point in its place.
type point struct {
	id      pointID
	payload map[string]*pb.Value
	vectors map[string]*pb.Vector
}

// shard holds some of a collection's points. One operation is applied at a time, in the order of their coming.
type shard struct {
	queue   sync.Mutex // for what follows
	waiting []func()
	working bool

	mu     sync.RWMutex // for what follows
	points map[pointID]*point
	sorted []pointID // all ids, or nil if they have to be sorted anew
}

func newShard() *shard { return &shard{points: map[pointID]*point{}} }

// enqueue puts an operation at the end of the queue. It is applied by and by; done is called then.
func (s *shard) enqueue(apply func(*shard) error, done func(error)) {
	s.queue.Lock()
	defer s.queue.Unlock()
	s.waiting = append(s.waiting, func() {
		s.mu.Lock()
		err := apply(s)
		s.mu.Unlock()
		done(err)
	})
	if !s.working {
		s.working = true
		go s.work()
	}
}

// work applies what waits, and ends.
func (s *shard) work() {
	for {
		s.queue.Lock()
		if len(s.waiting) == 0 {
			s.working = false
			s.queue.Unlock()
			return
		}
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.queue.Unlock()
		next()
	}
}

func (s *shard) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.points)
}

// put stores a point in place of the one that is there. The caller is an operation.
func (s *shard) put(p *point) {
	if s.points[p.id] == nil {
		s.sorted = nil
	}
	s.points[p.id] = p
}

func (s *shard) remove(id pointID) {
	if s.points[id] != nil {
		s.sorted = nil
		delete(s.points, id)
	}
}

// order sorts the ids, if they are not.
func (s *shard) order() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted != nil {
		return
	}
	s.sorted = make([]pointID, 0, len(s.points))
	for id := range s.points {
		s.sorted = append(s.sorted, id)
	}
	slices.SortFunc(s.sorted, compareIDs)
}

// matching are the points that a filter lets through, in no order. The caller is an operation, or holds the lock.
func (s *shard) matching(f *filter) []*point {
	var list []*point
	if ids, bounded := f.bound(); bounded {
		for id := range ids {
			if p := s.points[id]; p != nil && f.match(p) {
				list = append(list, p)
			}
		}
		return list
	}
	for _, p := range s.points {
		if f.match(p) {
			list = append(list, p)
		}
	}
	return list
}
