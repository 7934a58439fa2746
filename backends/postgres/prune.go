package postgres

import (
	"context"
	"sync"
	"time"
)

const (
	pruneEvery = 10 * time.Minute
	pruneRows  = 1000
)

// pruneTimes says when each table is due. The zero value is ready: every table is due.
type pruneTimes struct {
	sync.Mutex
	due map[string]time.Time
}

// take answers whether table is due, and makes it due again later.
func (p *pruneTimes) take(table string, now time.Time) bool {
	p.Lock()
	defer p.Unlock()
	if now.Before(p.due[table]) {
		return false
	}
	if p.due == nil {
		p.due = map[string]time.Time{}
	}
	p.due[table] = now.Add(pruneEvery)
	return true
}

// again makes the table due at once.
func (p *pruneTimes) again(table string) {
	p.Lock()
	defer p.Unlock()
	delete(p.due, table)
}

// prune removes tombstones that are too old to matter, few at a time, in the wake of a write: a target that
// is not written to gets no new ones. A failure is only logged, because the write has succeeded.
func (b *backend) prune(ctx context.Context, m *model) {
	if !b.pruned.take(m.table, time.Now()) {
		return
	}
	tag, err := b.pool.Exec(ctx, "delete from "+m.table+" where key in (select key from "+m.table+
		" where deleted_at < clock_timestamp() - make_interval(secs => $1) order by deleted_at limit $2 for update skip locked)",
		b.tombstones.Seconds(), pruneRows)
	if err != nil {
		b.log.Warn("removing old tombstones", "backend", b.name, "target", m.name, "error", err)
		return
	}
	if tag.RowsAffected() == pruneRows {
		b.pruned.again(m.table)
	}
}
