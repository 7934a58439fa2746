package nebulaserver

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

type session struct {
	id           int64
	user, client string
	created      time.Time
	busy         sync.Mutex // held while a request runs

	mu      sync.Mutex
	current string
	used    time.Time
}

func (s *session) space() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *session) use(space string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = space
}

// idle tells how long the session was left alone.
func (s *session) idle(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.used)
}

// login begins a session, or tells why not.
func (s *Server) login(name, password, client string) (int64, nebula.ErrorCode, string) {
	if f := s.fault("AUTHENTICATE " + name); f.Text != "" {
		return 0, f.code(), f.Text
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[name]; u == nil || u.password != password {
		return 0, nebula.ErrorCode_E_BAD_USERNAME_PASSWORD, "Bad username/password"
	}
	n := 0
	now := s.conf.Now()
	for id, other := range s.sessions {
		if other.idle(now) > s.conf.IdleSession {
			delete(s.sessions, id)
		} else if other.user == name && other.client == client {
			n++
		}
	}
	if n >= s.conf.MaxSessions {
		return 0, nebula.ErrorCode_E_SESSION_INVALID, fmt.Sprintf("Create Session failed: Too many sessions created from %s by user %s. the threshold is %d."+
			" You can change it by modifying 'max_sessions_per_ip_per_user' in nebula-graphd.conf", client, name, s.conf.MaxSessions)
	}
	s.lastID = max(s.lastID+1, now.UnixMicro())
	s.sessions[s.lastID] = &session{id: s.lastID, user: name, client: client, created: now, used: now}
	return s.lastID, nebula.ErrorCode_SUCCEEDED, ""
}

// session finds the session of a request.
func (s *Server) session(id int64) (*session, error) {
	if id == 0 {
		return nil, &graph.Error{Code: nebula.ErrorCode_E_SESSION_INVALID, Text: "Invalid session id"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.conf.Now()
	sess := s.sessions[id]
	if sess == nil || sess.idle(now) > s.conf.IdleSession {
		delete(s.sessions, id)
		return nil, &graph.Error{Code: nebula.ErrorCode_E_SESSION_INVALID, Text: "Session not existed!"}
	}
	sess.mu.Lock()
	sess.used = now
	sess.mu.Unlock()
	return sess, nil
}

// DropSessions ends all sessions, as if they had been idle for too long.
func (s *Server) DropSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// SessionCount is how many sessions there are.
func (s *Server) SessionCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Kill ends sessions and counts those that there were.
func (s *Server) Kill(ids []int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	for _, id := range ids {
		if s.sessions[id] != nil {
			delete(s.sessions, id)
			n++
		}
	}
	return n
}

// Sessions are rows of SHOW SESSIONS.
func (s *Server) Sessions() [][]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows [][]any
	for _, x := range s.sessions {
		x.mu.Lock()
		rows = append(rows, []any{
			x.id, x.user, x.current, value.DateTime(x.created), value.DateTime(x.used), s.Addr(), int64(0), x.client,
		})
		x.mu.Unlock()
	}
	slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[0].(int64), b[0].(int64)) })
	return rows
}

// note keeps a statement for Executed.
func (s *Server) note(stmt string) {
	if s.conf.Forget {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed = append(s.executed, stmt)
}
