package nebulaserver

import (
	"maps"
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/exec"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
)

type user struct {
	password string
	god      bool
	roles    map[string]string // by space
}

var rights = map[string]exec.Right{
	"ADMIN": exec.Define, "DBA": exec.Define, "USER": exec.WriteData, "GUEST": exec.Read, "": exec.Nothing,
}

// Allow refuses a statement that needs more than the user's role in the space.
func (s *Server) Allow(name, space string, need exec.Right) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[name]
	if u != nil && (u.god || rights[u.roles[space]] >= need) {
		return nil
	}
	switch need { //nolint:exhaustive // the others read
	case exec.God:
		return graph.Forbidden("No permission to manage the cluster.")
	case exec.Define:
		return graph.Forbidden("No permission to write schema.")
	case exec.WriteData:
		return graph.Forbidden("No permission to write data.")
	}
	return graph.Forbidden("No permission to read schema/data.")
}

// Account makes and changes users.
func (s *Server) Account(by string, st *ngql.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[st.Name]
	switch {
	case st.Verb == "CREATE" && u != nil && st.IfNotExists:
		return nil
	case st.Verb == "CREATE" && u != nil:
		return graph.ErrExisted
	case st.Verb == "CREATE":
		s.users[st.Name] = &user{password: st.Password, roles: map[string]string{}}
		return nil
	case u == nil:
		return graph.Failed("User not existed!")
	case st.Verb == "CHANGE" && by != st.Name && !s.users[by].god:
		return graph.Forbidden("No permission to change the password.")
	case st.Verb == "CHANGE" && u.password != st.Old:
		return graph.Failed("Invalid password!")
	}
	u.password = st.Password
	return nil
}

// DropAccount drops a user.
func (s *Server) DropAccount(name string, ifExists bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[name] == nil && !ifExists {
		return graph.Failed("User not existed!")
	}
	delete(s.users, name)
	return nil
}

// Grant gives and takes roles.
func (s *Server) Grant(r *ngql.Role) error {
	if s.store.Any(r.Space) == nil {
		return graph.ErrNoSpace
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[r.User]
	switch {
	case u == nil:
		return graph.Failed("User not existed!")
	case r.Role == "GOD":
		return graph.Forbidden("No permission to grant/revoke god user.")
	case r.Revoke && u.roles[r.Space] != r.Role:
		return graph.Failed("Improper role!")
	case r.Revoke:
		delete(u.roles, r.Space)
	default:
		u.roles[r.Space] = r.Role
	}
	return nil
}

// Accounts are the names of all users.
func (s *Server) Accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.users))
}

// Roles are the users with a role in a space, and the role.
func (s *Server) Roles(space string) [][2]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][2]string
	for name, u := range s.users {
		if r := u.roles[space]; r != "" {
			all = append(all, [2]string{name, r})
		}
	}
	return all
}
