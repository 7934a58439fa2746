package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The status tells for every backend, in order of the names, what it has not applied, since when, and who works on it.
func TestStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if none, err := Status(t.Context(), w.pool); len(none) != 0 || err != nil {
		t.Errorf("without backends: %v, %v", none, err)
	}
	w.addBackend("two", 2)
	w.addBackend("done", 1)
	w.addBackend("part", 1)
	w.ok(Pause(t.Context(), w.pool, "two", "operator", "new disks"))
	w.exec(`insert into outbox.log (kind, keys, at) values ('k', '{a,b,c}', clock_timestamp() - interval '1 hour'), ('k', '{a}', clock_timestamp())`)
	w.exec(`insert into outbox.log (kind, keys, backend, headers, at) values ('k', '{}', 'two', '{"all": true}', clock_timestamp() - interval '2 hours')`)
	done, part := w.take("done", "p"), w.take("part", "p")
	w.ok(done.Save(t.Context(), w.pool, w.applies(done, done.Start, 10), Outcome{Parked: []Parked{{Kind: "k", Target: "t", Key: "a"}, {Kind: "k", Target: "t", Key: "b"}}}))
	w.applies(part, part.Start, 1)
	w.expire("part")
	got, err := Status(t.Context(), w.pool)
	w.ok(err)
	want := []BackendStatus{
		{Name: "done", Type: "test", Parked: 2, Lanes: []LaneStatus{{Owner: "p"}}},
		{Name: "part", Type: "test", Changes: 1, Lanes: []LaneStatus{{Changes: 1}}},
		{Name: "two", Type: "test", Paused: "new disks", Changes: 5, Lag: 2 * time.Hour, Lanes: []LaneStatus{
			{Lane: 0, Changes: 5, Lag: 2 * time.Hour}, {Lane: 1, Changes: 5, Lag: 2 * time.Hour},
		}},
	}
	near := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < 10*time.Minute })
	if diff := cmp.Diff(want, got, near, cmpopts.IgnoreFields(LaneStatus{}, "Position", "Saved")); diff != "" {
		t.Error(diff)
	}
	for _, b := range got {
		for _, l := range b.Lanes {
			if _, err := ParseSnapshot(l.Position); err != nil || time.Since(l.Saved).Abs() > 10*time.Minute {
				t.Errorf("%s is at %s since %v: %v", b.Name, l.Position, l.Saved, err)
			}
		}
	}
	if got[0].Lag != 0 {
		t.Errorf("who has applied everything lags by %v", got[0].Lag)
	}
}

// A backend's state is one word: paused before working, working before waiting.
func TestState(t *testing.T) {
	t.Parallel()
	held := []LaneStatus{{}, {Owner: "p"}}
	for want, b := range map[BackendState]BackendStatus{
		StatePaused:  {Paused: "why", Lanes: held, Changes: 1},
		StateWorking: {Lanes: held, Changes: 1},
		StateWaiting: {Lanes: held[:1], Changes: 1},
		StateIdle:    {Lanes: held[:1], Parked: 1},
	} {
		if got := b.State(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What was running at the position and has ended counts; what is still open does not.
func TestLagSeesLateCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	late := w.begin()
	late.logs("a", "b")
	w.addBackend("b", 1)
	const rows = "select rows || ' ' || keys from outbox.lag"
	w.want("0 0", rows)
	late.commit()
	w.want("1 2", rows)
}

// A database that does not answer is an error.
func TestStatusErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Status(over, w.pool); !contains(err, "reading the status") {
		t.Errorf("got %v", err)
	}
	w.exec("drop view outbox.lag")
	if _, err := Status(t.Context(), w.pool); !contains(err, "reading the status") {
		t.Errorf("got %v", err)
	}
}
