package jobs

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// TargetState is which generations of a target there are, and how far a rebuild beside is, if one goes on.
type TargetState struct {
	Backend  string `json:"backend"`
	Kind     string `json:"kind"`
	Target   string `json:"target"`
	Serving  int    `json:"generation"` // that readers see
	Building int    `json:"building"`   // that is being filled; 0: none
	Dropping int    `json:"dropping"`   // that is being removed from the store; 0: none
	Phase    string `json:"phase"`      // how far the rebuild is: see Rebuilt; empty: none goes on
	Note     string `json:"note"`       // what it waits for; empty: nothing
}

// Rebuilding says whether a rebuild goes on, or its end is being cleaned up.
func (s TargetState) Rebuilding() bool { return s.Building > 0 || s.Dropping > 0 }

// Targets lists the targets of a backend, or of all if the name is empty, by backend, kind and target.
func Targets(ctx context.Context, db outbox.DB, backend string) ([]TargetState, error) {
	rows, err := db.Query(ctx, `
select backend, kind, target, generation, coalesce(building, 0), coalesce(dropping, 0),
       case when building is not null then phase when dropping is not null then 'dropping' else '' end, coalesce(note, '')
  from outbox.projections where $1 in ('', backend) order by 1, 2, 3`, backend)
	var list []TargetState
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[TargetState])
	}
	if err != nil {
		return nil, fmt.Errorf("reading which generations there are: %w", err)
	}
	return list, nil
}
