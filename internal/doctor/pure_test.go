package doctor

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// poolOf is a pool until the end of the test.
func poolOf(t *testing.T, config *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Versions that are too old are problems, newer ones than were tried are warnings.
func TestVersions(t *testing.T) {
	t.Parallel()
	for number, want := range map[int]Level{120020: Problem, 130000: Note, 180003: Note, 190000: Warning} {
		if got := judgeVersion(number, "x"); got[0].Level != want {
			t.Errorf("%d: %+v", number, got)
		}
	}
}

// Clocks differ when there is no moment of the question in which they can have agreed, nearly.
func TestClocks(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for there, well := range map[time.Duration]bool{0: true, time.Second: true, -4 * time.Second: true, 6 * time.Second: true, 7 * time.Second: false, -6 * time.Second: false} {
		if got := judgeClock(at, at.Add(there), at.Add(time.Second)); (len(got) == 0) != well {
			t.Errorf("%v: %+v", there, got)
		}
	}
}

// The worst level of findings is the gravest.
func TestWorst(t *testing.T) {
	t.Parallel()
	if Worst(nil) != Fine || Worst([]Finding{{Level: Warning}, {Level: Problem}, {Level: Note}}) != Problem {
		t.Error("not the gravest")
	}
}
