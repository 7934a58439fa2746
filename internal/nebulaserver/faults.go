package nebulaserver

import (
	"fmt"
	"slices"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
)

// Fault is what goes wrong with a request. Of the faults that match, the one that was injected first counts.
type Fault struct {
	// Match tells which requests: a statement's text, or "AUTHENTICATE name". Nil: all.
	Match func(request string) bool
	// Times is how often; default once.
	Times int
	// Delay holds the request up, before anything else.
	Delay time.Duration
	// Code and Text are answered. Code is -1005 if it is not set.
	Code nebula.ErrorCode
	Text string
	// Drop cuts the connection instead of an answer.
	Drop bool
	// Execute runs the statements all the same, before the false answer or the cut: the answer is lost after the write.
	Execute bool
}

func (f *Fault) code() nebula.ErrorCode {
	if f.Code == 0 {
		return nebula.ErrorCode_E_EXECUTION_ERROR
	}
	return f.Code
}

// PartFault is what goes wrong with a write to a partition of storaged. The partitions that a statement writes and
// that have no fault are written.
type PartFault struct {
	Space string        // empty: all
	Part  int           // zero: all
	Times int           // default once
	Delay time.Duration // a partition that is slow
	Text  string        // refuses the write: see LeaderChanged and its kin
}

// Inject makes requests go wrong.
func (s *Server) Inject(f Fault) {
	f.Times = max(f.Times, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// InjectPart makes writes to partitions go wrong.
func (s *Server) InjectPart(f PartFault) {
	f.Times = max(f.Times, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partFaults = append(s.partFaults, &f)
}

// Heal takes all faults back.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.partFaults = nil, nil
}

// fault is the fault of a request, the zero one if there is none.
func (s *Server) fault(request string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Match == nil || f.Match(request) {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
			return *f
		}
	}
	return Fault{}
}

// beforePart is called before every write to a partition.
func (s *Server) beforePart(space string, part int) error {
	f := s.partFault(space, part)
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	if f.Text != "" {
		return graph.Storage(f.Text)
	}
	return nil
}

func (s *Server) partFault(space string, part int) PartFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.partFaults {
		if (f.Space == "" || f.Space == space) && (f.Part == 0 || f.Part == part) {
			if f.Times--; f.Times == 0 {
				s.partFaults = slices.Delete(s.partFaults, i, i+1)
			}
			return *f
		}
	}
	return PartFault{}
}

// LeaderChanged is what storaged says when the partition has another leader.
func LeaderChanged(part int) string {
	return fmt.Sprintf("Not the leader of %d. Please retry later.", part)
}

// BufferFull is what storaged says when a partition has too many writes under way.
func BufferFull(part int) string {
	return fmt.Sprintf("Part %d raft buffer is full. Please retry later.", part)
}

// Texts of storaged for [PartFault].
const (
	// RPCFailure leaves open whether anything was written.
	RPCFailure = "RPC failure, probably timeout."
	// WriteBlocked is for the time of a snapshot.
	WriteBlocked = "Write is blocked when creating snapshot. Please retry later."
	// MemoryExceeded is for a server that is short of memory.
	MemoryExceeded = "StorageMemoryExceeded: (-3600)"
	// WriteStalled is for a disk that cannot follow.
	WriteStalled = "part: 1, error: E_WRITE_STALLED(-3011)."
)
