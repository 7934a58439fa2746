package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Reversal says what to revert: a transaction, or all of a load.
type Reversal struct {
	Transaction uint64 // its id, which is its token
	Load        string // the value of the header load; instead of a transaction
	Force       bool   // also where rows were changed since, or where no history of some kinds was kept
	DryRun      bool   // only tell what would be done
	Reason      string // for the event
	Who         string // for the event: empty for who is logged in, or Engine
}

// Reverted is what a reversal did, or would do.
type Reverted struct {
	Done         bool            `json:"done"`
	Transactions []string        `json:"transactions"`          // that were reverted
	Transaction  string          `json:"transaction,omitempty"` // the one that reverted them; it can be reverted in turn
	Tables       []RevertedTable `json:"tables"`
	Conflicts    int64           `json:"conflicts"` // rows that were changed since
	Samples      []Conflict      `json:"samples"`   // up to a hundred of them of each kind
	Problems     []string        `json:"problems"`  // why it is not possible, whatever the rows are
	Altered      int64           `json:"altered"`   // rows that are not quite as they were: generated columns, or the table's own triggers
}

// RevertedTable counts the rows that were restored.
type RevertedTable struct {
	Kind     string `json:"kind"`
	Table    string `json:"table"`
	Inserted int64  `json:"inserted"` // that had been deleted
	Updated  int64  `json:"updated"`
	Deleted  int64  `json:"deleted"` // that had been inserted
}

// Conflict is a row that was changed since.
type Conflict struct {
	Kind string `json:"kind"`
	Key  string `json:"key"`
	Why  string `json:"why"`
}

// Rows is how many rows that are.
func (r *Reverted) Rows() int64 {
	var n int64
	for _, t := range r.Tables {
		n += t.Inserted + t.Updated + t.Deleted
	}
	return n
}

// RevertError says that nothing was reverted, and why.
type RevertError struct{ *Reverted }

// Error names the problems, or the rows that were changed since.
func (e *RevertError) Error() string {
	if len(e.Problems) > 0 {
		return "reverting: " + strings.Join(e.Problems, "; ")
	}
	var list []string
	for _, s := range e.Samples[:min(len(e.Samples), 5)] {
		list = append(list, fmt.Sprintf("%s %s %s", s.Kind, s.Key, s.Why))
	}
	if int64(len(list)) < e.Conflicts {
		list = append(list, "...")
	}
	return fmt.Sprintf("reverting: %d rows were changed since: %s", e.Conflicts, strings.Join(list, "; "))
}

// Revert restores, within the caller's transaction, the rows that a committed transaction or a load changed, as far as
// their kinds keep history (Kind.History), and notes the event "reverted". Through the watch it reaches every backend like
// any other change, and since it is a transaction with history itself, it can be reverted in turn.
//
// Where a row was changed since, or something needed is not kept, it fails with a *RevertError and has changed nothing,
// and the caller's transaction goes on. After any other error, such as one of a constraint, the transaction must be rolled back.
// The role needs SELECT, INSERT, UPDATE and DELETE on the tables, besides what outbox.grant_worker gives.
func Revert(ctx context.Context, tx pgx.Tx, r Reversal) (*Reverted, error) {
	if (r.Transaction == 0) == (r.Load == "") {
		return nil, errors.New("reverting: want a transaction or a load")
	}
	what := r.Load
	if r.Transaction != 0 {
		what = strconv.FormatUint(r.Transaction, 10)
	}
	var text string
	err := tx.QueryRow(ctx, `
select outbox.undo(case when $2 then outbox.load_transactions($1) else array[$1::xid8] end, $3, $4, jsonb_build_object('reverts', $1::text))::text`,
		what, r.Load != "", r.Force, r.DryRun).Scan(&text)
	done := &Reverted{}
	if err == nil {
		err = json.Unmarshal([]byte(text), done)
	}
	if err != nil {
		return nil, fmt.Errorf("reverting %s: %w", what, err)
	}
	if !done.Done {
		if r.DryRun && len(done.Problems) == 0 {
			return done, nil
		}
		return done, &RevertError{done}
	}
	details := map[string]any{"transactions": done.Transactions, "by": done.Transaction, "rows": done.Rows(), "forced": r.Force}
	if r.Load != "" {
		details["load"] = r.Load
	}
	return done, Note(ctx, tx, Event{What: "reverted", Who: r.Who, Reason: r.Reason, Details: details})
}
