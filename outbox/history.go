package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// HistoryError says that positions cannot be trusted in the database as it is: it was restored, promoted or
// copied, or it is a standby.
type HistoryError struct{ Reason string }

// Error names the reason and what to do.
func (e *HistoryError) Error() string {
	if e.Reason == "standby" {
		return "the database is a standby: snapshots taken there miss running transactions (connect to the primary)"
	}
	return fmt.Sprintf("positions were made in another history: %s (rebase them, then verify with repair)", e.Reason)
}

// CheckHistory fails with a *HistoryError when positions cannot be trusted here.
func CheckHistory(ctx context.Context, db DB) error {
	var reason *string
	if err := db.QueryRow(ctx, `select outbox.trouble()`).Scan(&reason); err != nil {
		return fmt.Errorf("checking the history of positions: %w", err)
	}
	if reason != nil {
		return &HistoryError{Reason: *reason}
	}
	return nil
}

// Rebase moves every position into the present history and stamps every retained row of the log anew, so that all
// of it is applied again, and answers how many rows. It waits for open transactions that wrote to the log. Stores
// may be ahead of a restored database: verify with repair afterwards. Leases end: tenures of the former history
// fail with ErrLost.
func Rebase(ctx context.Context, db Beginner) (int64, error) {
	var n int64
	err := inTx(ctx, db, func(tx pgx.Tx) error { return tx.QueryRow(ctx, `select outbox.rebase()`).Scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("rebasing positions: %w", err)
	}
	return n, nil
}

// markSQL is the mark of the present life of the database. The xmin makes it another one where a dump was restored.
const markSQL = `select a.boot || a.xmin::text from outbox.alive a`

// alive answers the mark that readers compare on every read and save. It is gone after a crash, a promotion or a
// restore; the first to ask after that makes a new one, once it has checked the history.
func alive(ctx context.Context, db DB) (string, error) {
	if err := CheckHistory(ctx, db); err != nil {
		return "", err
	}
	var mark string
	err := db.QueryRow(ctx, markSQL).Scan(&mark)
	if !errors.Is(err, pgx.ErrNoRows) {
		return mark, err
	}
	_, err = db.Exec(ctx, `insert into outbox.alive (boot) values (gen_random_uuid()::text) on conflict do nothing`)
	if err != nil {
		return "", err
	}
	err = db.QueryRow(ctx, markSQL).Scan(&mark)
	return mark, err
}
