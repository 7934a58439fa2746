package outbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// BackendStatus is how far a backend is.
type BackendStatus struct {
	Name, Type string
	Paused     string        // why it is paused; empty: it runs
	Lanes      []LaneStatus  // in the order of their numbers
	Changes    int64         // keys in the log that are not applied yet; a key that was logged twice counts twice
	Lag        time.Duration // since the oldest of them was logged; zero if there is none
	Parked     int64         // records that it refused
}

// LaneStatus is how far one lane of a backend is.
type LaneStatus struct {
	Lane     int
	Position string        // the pg_snapshot that is applied
	Owner    string        // who holds it; empty: nobody
	Changes  int64         // as in BackendStatus, over the keys of all lanes
	Lag      time.Duration // as in BackendStatus
	Saved    time.Time     // when the position was last saved
}

// BackendState is what a backend does, in a word.
type BackendState string

// What a backend does.
const (
	StatePaused  BackendState = "paused"  // it is not worked until somebody resumes it
	StateWorking BackendState = "working" // a worker holds one of its lanes at least
	StateWaiting BackendState = "waiting" // the log has changes for it, and nobody works them
	StateIdle    BackendState = "idle"    // it has applied everything
)

// State is what the backend does. One that is paused is StatePaused, whatever else it does.
func (b BackendStatus) State() BackendState {
	switch {
	case b.Paused != "":
		return StatePaused
	case slices.ContainsFunc(b.Lanes, func(l LaneStatus) bool { return l.Owner != "" }):
		return StateWorking
	case b.Changes > 0:
		return StateWaiting
	default:
		return StateIdle
	}
}

// Status tells how far every backend is, ordered by name. It counts what is waiting, so it takes longer the more
// that is: about a second for a million rows of the log.
func Status(ctx context.Context, db DB) ([]BackendStatus, error) {
	rows, err := db.Query(ctx, `
select g.backend, g.type, coalesce(g.paused, ''), g.lane, g.position::text,
       case when g.expires > clock_timestamp() then coalesce(g.owner, '') else '' end, g.keys::bigint, g.seconds, g.saved_at,
       (select count(*) from outbox.parked p where p.backend = g.backend)
  from outbox.lag g order by g.backend, g.lane`)
	if err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	var all []BackendStatus
	var b BackendStatus
	var l LaneStatus
	var seconds float64
	_, err = pgx.ForEachRow(rows, []any{&b.Name, &b.Type, &b.Paused, &l.Lane, &l.Position, &l.Owner, &l.Changes, &seconds, &l.Saved, &b.Parked}, func() error {
		l.Lag = time.Duration(seconds * float64(time.Second))
		if len(all) == 0 || all[len(all)-1].Name != b.Name {
			all = append(all, b)
		}
		last := &all[len(all)-1]
		last.Lanes = append(last.Lanes, l)
		last.Changes, last.Lag = max(last.Changes, l.Changes), max(last.Lag, l.Lag)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	return all, nil
}
