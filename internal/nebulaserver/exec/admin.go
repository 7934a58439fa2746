package exec

import "github.com/outflow-db/outflow/internal/nebulaserver/ngql"

// Right is what a statement needs of its user.
type Right int

// From the least to the most.
const (
	Nothing Right = iota
	Read
	WriteData
	Define
	God
)

// Admin is what a server knows beside its graphs.
type Admin interface {
	// Allow refuses a statement that needs a right in a space.
	Allow(user, space string, need Right) error
	// Account makes and changes users.
	Account(by string, u *ngql.User) error
	// DropAccount drops a user.
	DropAccount(name string, ifExists bool) error
	// Grant gives and takes roles.
	Grant(r *ngql.Role) error
	// Accounts are the names of all users.
	Accounts() []string
	// Roles are the users with a role in a space, and the role.
	Roles(space string) [][2]string
	// Sessions are rows of SHOW SESSIONS.
	Sessions() [][]any
	// Kill ends sessions and counts them.
	Kill(ids []int64) int64
	// Address is the host and port that the server listens on.
	Address() (string, int64)
}
