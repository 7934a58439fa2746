package outbox

import (
	"context"
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
	Class    string    `json:"class"`
	Error    string    `json:"error"`
	Advice   string    `json:"advice"`
	Attempts int       `json:"attempts"` // how often it was refused
	Version  int64     `json:"version"`  // of the last refusal
	First    time.Time `json:"first_at"` // when it was refused first
	Last     time.Time `json:"last_at"`
}

// ParkedGroup is records that a backend refused for the same reason.
type ParkedGroup struct {
	Backend string    `json:"backend"`
	Kind    string    `json:"kind"`
	Target  string    `json:"target"`
	Class   string    `json:"class"`
	Error   string    `json:"error"`
	Advice  string    `json:"advice"`
	Records int64     `json:"records"`
	Key     string    `json:"key"` // the one refused last
	First   time.Time `json:"first_at"`
	Last    time.Time `json:"last_at"`
}

// ParkedFilter chooses parked records. What is empty is not asked for; the zero value chooses all.
type ParkedFilter struct {
	Backend, Kind, Target, Class string
	Keys                         []string
}

// parkedWhere is the condition of a filter; its parameters are the first five of a statement.
const parkedWhere = `
 where ($1 = '' or p.backend = $1) and ($2 = '' or p.kind = $2) and ($3 = '' or p.target = $3) and ($4 = '' or p.class = $4)
   and ($5::text[] is null or p.key = any($5))`

func (f ParkedFilter) args(more ...any) []any {
	var keys []string
	if len(f.Keys) > 0 {
		keys = f.Keys
	}
	return append([]any{f.Backend, f.Kind, f.Target, f.Class, keys}, more...)
}

// ParkedGroups lists what is parked, grouped by backend, kind, target, class and error, the largest groups first.
func ParkedGroups(ctx context.Context, db DB, f ParkedFilter) ([]ParkedGroup, error) {
	rows, err := db.Query(ctx, `
select p.backend, p.kind, p.target, p.class, p.error, min(p.advice), count(*), (array_agg(p.key order by p.last_at desc))[1], min(p.first_at), max(p.last_at)
  from outbox.parked p`+parkedWhere+` group by 1, 2, 3, 4, 5 order by 7 desc, 1, 2, 3, 4, 5`, f.args()...)
	return collectParked[ParkedGroup](rows, err)
}

// ParkedRecords lists parked records, those refused last first, limit of them at most.
func ParkedRecords(ctx context.Context, db DB, f ParkedFilter, limit int) ([]ParkedRecord, error) {
	rows, err := db.Query(ctx, `
select p.backend, p.kind, p.target, p.key, p.class, p.error, p.advice, p.attempts, p.version, p.first_at, p.last_at
  from outbox.parked p`+parkedWhere+` order by p.last_at desc, 1, 2, 3, 4 limit $6`, f.args(limit)...)
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

// RetryParked puts the keys of parked records into the log again, for their backends, and answers how many records that
// are. They stay parked until they have been written: a record that is refused again counts one attempt more. Commit is
// the caller's.
func RetryParked(ctx context.Context, db DB, f ParkedFilter) (int64, error) {
	var n int64
	err := db.QueryRow(ctx, `
with p as (select p.backend, p.kind, p.key from outbox.parked p`+parkedWhere+`),
k as (select backend, kind, key, (row_number() over (partition by backend, kind order by key) - 1) / 500 as part from p group by 1, 2, 3),
again as (insert into outbox.log (kind, keys, backend, headers) select kind, array_agg(key), backend, '{"retry": true}' from k group by backend, kind, part)
select count(*) from p`, f.args()...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("logging again what is parked: %w", err)
	}
	return n, nil
}

// DropParked forgets parked records, and answers how many. Their backends keep what they have of them, so that verify
// reports them as missing or different from then on, until they are written or repaired.
func DropParked(ctx context.Context, db DB, f ParkedFilter) (int64, error) {
	tag, err := db.Exec(ctx, `delete from outbox.parked p`+parkedWhere, f.args()...)
	if err != nil {
		return 0, fmt.Errorf("dropping what is parked: %w", err)
	}
	return tag.RowsAffected(), nil
}
