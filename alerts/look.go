package alerts

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/health"
	"github.com/outflow-db/outflow/outbox"
)

// Lookout looks for alerts on behalf of one process. It is not safe for concurrent use.
type Lookout struct {
	pool *pgxpool.Pool
	s    Settings
	log  *slog.Logger
	// deliver sees to it that a webhook gets a message, once the transaction is committed.
	deliver func(ctx context.Context, tx pgx.Tx, webhook string, m Message) error
	facts   gatherer
	told    string // what could not be found out, as last logged
}

// NewLookout makes one.
func NewLookout(pool *pgxpool.Pool, s Settings, log *slog.Logger, deliver func(ctx context.Context, tx pgx.Tx, webhook string, m Message) error) *Lookout {
	s = s.WithDefaults()
	return &Lookout{pool: pool, s: s, log: log, deliver: deliver, facts: gatherer{s: s}}
}

// Look looks once, unless another process does or has done so just now: see the package documentation.
func (l *Lookout) Look(ctx context.Context) error {
	var changed []Alert
	var blind error
	var now time.Time
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		t, err := takeTurn(ctx, tx, l.s)
		if t == nil || err != nil {
			return err
		}
		now = t.now
		all, err := health.Read(ctx, tx)
		if err != nil {
			return err
		}
		if t.sample {
			if err := sample(ctx, tx, t, l.s, all); err != nil {
				return err
			}
		}
		changed, blind, err = l.step(ctx, tx, t, all)
		return err
	})
	if err != nil {
		return err
	}
	if !now.IsZero() {
		l.report(ctx, now, changed, blind)
	}
	return nil
}

// step takes the alerts a step on.
func (l *Lookout) step(ctx context.Context, tx pgx.Tx, t *turn, all []health.Backend) (changed []Alert, blind, err error) {
	known, err := List(ctx, tx, true)
	if err != nil {
		return nil, nil, err
	}
	facts, blind := l.facts.gather(ctx, tx, t.now, known, all)
	changed, gone := Next(t.now, l.s, known, Find(facts, l.s), facts.Blind)
	if err := save(ctx, tx, changed, gone); err != nil {
		return nil, nil, err
	}
	if err := note(ctx, tx, changed, t.now); err != nil {
		return nil, nil, err
	}
	return changed, blind, l.tell(ctx, tx, t, merged(known, changed, gone))
}

// merged are the known alerts as they are now.
func merged(known, changed []Alert, gone []string) []Alert {
	list := slices.DeleteFunc(slices.Clone(known), func(a Alert) bool {
		return slices.Contains(gone, a.ID) || slices.ContainsFunc(changed, func(c Alert) bool { return c.ID == a.ID })
	})
	return append(list, changed...)
}

// tell makes the next message, if one is due, and has it delivered. Without webhooks nothing is told to anybody.
func (l *Lookout) tell(ctx context.Context, tx pgx.Tx, t *turn, all []Alert) error {
	owed := Owed(t.now, l.s, all)
	if len(owed) == 0 || len(l.s.Webhooks) == 0 {
		return nil
	}
	m := NewMessage(uuid.NewString(), t.database, t.now, l.s, owed)
	for _, w := range l.s.Webhooks {
		if err := l.deliver(ctx, tx, w.Name, m); err != nil {
			return fmt.Errorf("having %s told: %w", w, err)
		}
	}
	var told []Alert
	for _, n := range owed {
		told = append(told, n.Alert)
	}
	return save(ctx, tx, told, nil)
}

// turned is what became of an alert just now, as events have it; empty: nothing.
func turned(a Alert, now time.Time) string {
	switch {
	case a.State == Firing && a.Fired != nil && a.Fired.Equal(now):
		return "alerted"
	case a.State == Resolved && a.Resolved != nil && a.Resolved.Equal(now):
		return "resolved"
	default:
		return ""
	}
}

// note keeps in the events which alerts fire and which are over.
func note(ctx context.Context, tx pgx.Tx, changed []Alert, now time.Time) error {
	var events []outbox.Event
	for _, a := range changed {
		if what := turned(a, now); what != "" {
			events = append(events, outbox.Event{What: what, Who: outbox.Engine, Backend: a.Backend, Reason: a.Summary, Details: map[string]any{"alert": a.ID}})
		}
	}
	return outbox.Note(ctx, tx, events...)
}

// report logs which alerts fire and which are over, and what could not be found out, once.
func (l *Lookout) report(ctx context.Context, now time.Time, changed []Alert, blind error) {
	for _, a := range changed {
		switch turned(a, now) {
		case "alerted":
			l.log.WarnContext(ctx, "alert", "alert", a.ID, "severity", a.Severity, "summary", a.Summary, "runbook", l.s.RunbookOf(a.Rule))
		case "resolved":
			l.log.InfoContext(ctx, "an alert is over", "alert", a.ID, "summary", a.Summary)
		}
	}
	text := ""
	if blind != nil {
		text = blind.Error()
	}
	if text != l.told && text != "" {
		l.log.WarnContext(ctx, "some alerts cannot be looked for", "error", text)
	}
	l.told = text
}
