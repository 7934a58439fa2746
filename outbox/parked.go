package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ParkedRecord is a record that a backend refused for good, as it is kept.
type ParkedRecord struct {
	Backend  string    `json:"backend"`
	Kind     string    `json:"kind"`
	Target   string    `json:"target"`
	Key      string    `json:"key"`
	Group    string    `json:"group"` // the id of its ParkedGroup
	Class    string    `json:"class"`
	Error    string    `json:"error"`
	Advice   string    `json:"advice"`
	Attempts int       `json:"attempts"` // how often it was refused
	Version  int64     `json:"version"`  // of the last refusal
	First    time.Time `json:"first_at"` // when it was refused first
	Last     time.Time `json:"last_at"`
}

// ParkedGroup is records of a kind that a target refused for the same reason, as far as their errors tell: see Pattern.
type ParkedGroup struct {
	ID      string     `json:"group"`
	Backend string     `json:"backend"`
	Kind    string     `json:"kind"`
	Target  string     `json:"target"`
	Class   string     `json:"class"`
	Error   string     `json:"error"` // that of the record refused last, as its advice and key
	Advice  string     `json:"advice"`
	Records int64      `json:"records"`
	Key     string     `json:"key"`
	First   time.Time  `json:"first_at"`
	Last    time.Time  `json:"last_at"`
	Tries   int        `json:"tries"`             // times in a row that the engine tried some of them again, and none was taken
	Next    *time.Time `json:"next_at,omitempty"` // when it tries again; nil: it has not looked at the group yet
}

// ParkedFilter chooses parked records. What is empty is not asked for; the zero value chooses all.
type ParkedFilter struct {
	Backend, Kind, Target, Class string
	Keys                         []string
	Group                        string    // the id of a ParkedGroup
	Since                        time.Time // refused then or later
}

// parkedWhere is the condition of a filter; its parameters are the first seven of a statement.
const parkedWhere = `
 where ($1 = '' or p.backend = $1) and ($2 = '' or p.kind = $2) and ($3 = '' or p.target = $3) and ($4 = '' or p.class = $4)
   and ($5::text[] is null or p.key = any($5)) and ($6 = '' or p.group_id = $6) and ($7::timestamptz is null or p.last_at >= $7)`

func (f ParkedFilter) args(more ...any) []any {
	var keys []string
	if len(f.Keys) > 0 {
		keys = f.Keys
	}
	var since *time.Time
	if !f.Since.IsZero() {
		since = &f.Since
	}
	return append([]any{f.Backend, f.Kind, f.Target, f.Class, keys, f.Group, since}, more...)
}

// text is the filter as people give it: what an event says was chosen.
func (f ParkedFilter) text() map[string]any {
	m := map[string]any{}
	for name, v := range map[string]string{"backend": f.Backend, "kind": f.Kind, "target": f.Target, "class": f.Class, "group": f.Group} {
		if v != "" {
			m[name] = v
		}
	}
	if len(f.Keys) > 0 {
		m["keys"] = f.Keys[:min(len(f.Keys), eventSample)]
	}
	if !f.Since.IsZero() {
		m["since"] = f.Since.UTC().Format(time.RFC3339)
	}
	return m
}

// ParkedGroups lists what is parked in groups of one reason, the largest first. With Since it counts what was refused from
// then on.
func ParkedGroups(ctx context.Context, db DB, f ParkedFilter) ([]ParkedGroup, error) {
	rows, err := db.Query(ctx, `
select g.*, coalesce(r.tries, 0), r.next_at
  from (select p.group_id, p.backend, p.kind, p.target, p.class, (array_agg(p.error order by p.last_at desc, p.key))[1],
               (array_agg(p.advice order by p.last_at desc, p.key))[1], count(*), (array_agg(p.key order by p.last_at desc, p.key))[1], min(p.first_at), max(p.last_at)
          from outbox.parked p`+parkedWhere+` group by p.group_id, p.backend, p.kind, p.target, p.class) g
  left join outbox.retries r on r.backend = g.backend and r.group_id = g.group_id
 order by g.count desc, g.backend, g.kind, g.target, g.class, g.group_id`, f.args()...)
	return collectParked[ParkedGroup](rows, err)
}

// ParkedRecords lists parked records, those refused last first, limit of them at most.
func ParkedRecords(ctx context.Context, db DB, f ParkedFilter, limit int) ([]ParkedRecord, error) {
	rows, err := db.Query(ctx, `
select p.backend, p.kind, p.target, p.key, p.group_id, p.class, p.error, p.advice, p.attempts, p.version, p.first_at, p.last_at
  from outbox.parked p`+parkedWhere+` order by p.last_at desc, 1, 2, 3, 4 limit $8`, f.args(limit)...)
	return collectParked[ParkedRecord](rows, err)
}

func collectParked[T any](rows pgx.Rows, err error) ([]T, error) {
	var list []T
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	}
	if err != nil {
		return nil, fmt.Errorf("listing what is parked: %w", err)
	}
	return list, nil
}

// ParkedReason is what the records of a group have in common, in one backend.
type ParkedReason struct{ Kind, Target, Class, Pattern string }

// groupID is the id of the group of a reason, in the first five parameters: as outbox.parked makes it.
const groupID = `left(md5($1::text || ' ' || $2::text || ' ' || $4::text || ' ' || length($3::text)::text || ' ' || $3::text || ' ' || $5::text), 12)`

// CountParked counts the records of a backend that were refused for the reason within the time before now, without those of
// some keys, most of them at most.
func CountParked(ctx context.Context, db DB, backend string, why ParkedReason, within time.Duration, without []string, most int) (int, error) {
	var n int
	err := db.QueryRow(ctx, `
select count(*) from (select from outbox.parked p where p.backend = $1 and p.group_id = `+groupID+` and p.last_at > clock_timestamp() - $6::interval
    and not exists (select from unnest($7::text[]) u (key) where u.key = p.key) limit $8) q`,
		backend, why.Kind, why.Target, why.Class, why.Pattern, within, texts(without), most).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what backend %s refused lately: %w", backend, err)
	}
	return n, nil
}

// PauseForParked pauses a backend that refuses masses of records for one reason, by ByLimit, and notes it. The group of the reason is tried again after pause. It does
// nothing, and answers false, when the backend is paused for this already, or by an operator. The caller commits.
func PauseForParked(ctx context.Context, tx pgx.Tx, backend string, why ParkedReason, pause time.Duration, text string, details map[string]any) (bool, error) {
	tag, err := tx.Exec(ctx, `update outbox.backends set paused = $2, paused_by = 'limit', paused_at = clock_timestamp()
 where name = $1 and (paused is null or array_position(`+pausers+`, paused_by) < array_position(`+pausers+`, 'limit'))`, backend, text)
	if err == nil && tag.RowsAffected() == 1 {
		_, err = tx.Exec(ctx, `
with others as (update outbox.retries set limited = false where backend = $1 and limited and group_id <> `+groupID+`)
insert into outbox.retries (backend, group_id, kind, target, class, pattern, next_at, limited)
values ($1, `+groupID+`, $2, $3, $4, $5, clock_timestamp() + $6::interval, true)
on conflict (backend, group_id) do update set next_at = excluded.next_at, tries = 0, limited = true`, backend, why.Kind, why.Target, why.Class, why.Pattern, pause)
		err = errors.Join(err, Note(ctx, tx, Event{What: "paused", Who: Engine, Backend: backend, Kind: why.Kind, Reason: text, Details: details}))
	}
	if err != nil {
		return false, fmt.Errorf("pausing backend %s for what it refuses: %w", backend, err)
	}
	return tag.RowsAffected() == 1, nil
}
