package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Engine is who did what nobody asked for.
const Engine = "engine"

// Event is something that an operator or the engine did to a backend or a record. Changes of rows are none: the log has
// them.
type Event struct {
	ID      int64          `json:"id"`
	At      time.Time      `json:"at"`                // when it was noted; given by the database
	What    string         `json:"what"`              // a verb in the past tense, such as paused
	Who     string         `json:"who"`               // Engine, or empty for who is logged in to the database
	Backend string         `json:"backend,omitempty"` // empty, as the two below: it concerns no single one
	Kind    string         `json:"kind,omitempty"`
	Key     string         `json:"key,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Details map[string]any `json:"details,omitempty"` // must not hold secrets
}

// Note keeps events, in the order given. It is part of the caller's transaction, if there is one: what is undone was not
// done.
func Note(ctx context.Context, db DB, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	list, err := json.Marshal(events)
	if err == nil {
		_, err = db.Exec(ctx, `
insert into outbox.events (what, who, backend, kind, key, reason, details)
select e->>'what', coalesce(nullif(e->>'who', ''), session_user), e->>'backend', e->>'kind', e->>'key', coalesce(e->>'reason', ''), coalesce(e->'details', '{}')
  from jsonb_array_elements($1::jsonb) with ordinality as l (e, n) order by n`, string(list))
	}
	if err != nil {
		return fmt.Errorf("noting what was done (%s): %w", events[0].What, err)
	}
	return nil
}

// EventFilter chooses events. What is empty is not asked for.
type EventFilter struct {
	What, Backend, Kind, Key string
	Since                    time.Time
}

// Events lists events, the latest first, limit of them at most.
func Events(ctx context.Context, db DB, f EventFilter, limit int) ([]Event, error) {
	rows, err := db.Query(ctx, `
select id, at, what, who, coalesce(backend, ''), coalesce(kind, ''), coalesce(key, ''), reason, details
  from outbox.events
 where ($1 = '' or what = $1) and ($2 = '' or backend = $2) and ($3 = '' or kind = $3) and ($4 = '' or key = $4) and at >= $5
 order by id desc limit $6`, f.What, f.Backend, f.Kind, f.Key, f.Since, limit)
	var list []Event
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
	}
	if err != nil {
		return nil, fmt.Errorf("listing what was done: %w", err)
	}
	return list, nil
}
