package jobs

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/outflow-db/outflow/outbox"
)

// Where few changes come at a time, the records are read in the round trip that reads the log: the next page probably
// asks for what the last one did. docs/decisions/0023 says why that is exact.
const (
	alongKeys  = 64 // of a page, at most, after which the next one's records are asked for along with the log
	alongPlans = 4  // that are asked along at most
)

// along lists the projections to ask along with the log after a page.
func (s *store) along(page *outbox.Page) (plans []*plan) {
	if page.Count() > alongKeys {
		return nil
	}
	for _, a := range s.asks(page) {
		plans = append(plans, a.plan)
	}
	if len(plans) > alongPlans {
		return nil
	}
	return plans
}

// questions asks for the records of plans along with the log, and keeps the answers for the page. Of large records a short
// page may be more than the portion holds: they are not asked for, and nor are those whose size is not known yet.
func (c *collector) questions(plans []*plan) (list []outbox.Question) {
	c.answers = map[*plan]planned{}
	for _, p := range plans {
		if size := c.sizes[p]; size > 0 && size*alongKeys <= c.bound {
			list = append(list, outbox.Question{Kind: p.Kind, Number: p.number, SQL: p.asking, Answer: func(rows pgx.Rows, keys []string) { c.answer(p, rows, keys) }})
		}
	}
	return list
}

// answer keeps an answer that is good: all of it fits into the portion, it is about the keys that were asked for, and it
// has the formats that Read wants. All else is asked again when the page is known, and treated there.
func (c *collector) answer(p *plan, rows pgx.Rows, keys []string) {
	if !readable(rows, len(p.layout.Raw)) {
		return
	}
	if got, unseen, err := c.gather(rows, p, keys, c.bound); err == nil && len(unseen) == 0 {
		c.answers[p] = got
	}
}

// readable says whether the last columns of rows, so many, came in binary, or in a text that is the same.
func readable(rows pgx.Rows, raw int) bool {
	fields := rows.FieldDescriptions()
	for _, f := range fields[max(0, len(fields)-raw):] {
		if f.Format != pgx.BinaryFormatCode && f.DataTypeOID != pgtype.TextOID && f.DataTypeOID != pgtype.VarcharOID {
			return false
		}
	}
	return true
}

// answered is what came along with the log about an ask: of the lane's keys, and of no others.
func (c *collector) answered(a ask) (got planned, known bool) {
	if got, known = c.answers[a.plan]; !known {
		return got, false
	}
	delete(c.answers, a.plan)
	wanted := make(map[string]bool, len(a.keys))
	for _, k := range a.keys {
		wanted[k] = true
	}
	all := got.records
	got.records = all[:0]
	for _, r := range all {
		if wanted[r.Key] {
			got.records = append(got.records, r)
		}
	}
	return got, len(got.records) == len(a.keys)
}
