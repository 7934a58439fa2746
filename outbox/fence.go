package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Tenures are lanes that somebody holds, with the tokens of those who do.
type Tenures map[int]int64

// Held lists the tenures of a backend that there are now.
func Held(ctx context.Context, db DB, backend string) (Tenures, error) {
	rows, err := db.Query(ctx, `select lane, epoch from outbox.lanes where backend = $1 and owner is not null and expires > clock_timestamp()`, backend)
	held := Tenures{}
	if err == nil {
		var lane int
		var epoch int64
		_, err = pgx.ForEachRow(rows, []any{&lane, &epoch}, func() error { held[lane] = epoch; return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("reading who holds the lanes of backend %s: %w", backend, err)
	}
	return held, nil
}

// holdBriefly is how long a lane is kept free for its owner to see that it shall let go of it.
const holdBriefly = 5 * time.Second

// Ended asks those of the tenures that last to finish their page and let go, and says whether all have ended: by
// themselves, or because their lease is over. Until it says so it must be called again and again; then their lanes
// are free for others.
func (t Tenures) Ended(ctx context.Context, db DB, backend string) (bool, error) {
	for lane, epoch := range t {
		var lasts bool
		err := db.QueryRow(ctx, `
with l as (select lane, epoch = $3 and owner is not null and expires > clock_timestamp() as lasts from outbox.lanes where backend = $1 and lane = $2),
     h as (update outbox.lanes x set hold = case when l.lasts then clock_timestamp() + $4::interval else '-infinity' end
             from l where x.backend = $1 and x.lane = l.lane and (l.lasts or x.hold > clock_timestamp()))
select coalesce((select lasts from l), false)`, backend, lane, epoch, holdBriefly).Scan(&lasts)
		if err != nil {
			return false, fmt.Errorf("asking for lane %d of backend %s: %w", lane, backend, err)
		}
		if !lasts {
			delete(t, lane)
		}
	}
	return len(t) == 0, nil
}
