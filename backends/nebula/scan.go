package nebula

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
)

const (
	scanPage  = 2000 // rows that an answer may have
	lookupMax = 500  // keys of one statement
	// firstWidth is that of the first range: a little of a large target, and soon all of a small one.
	firstWidth = math.MaxInt64 >> 12
)

// Scan reads keys, versions and digests through the index on outflow_slot, a number that is spread evenly over the keys:
// range after range of it, each as wide as it takes for a page. No page is larger when there are more rows, no row is
// read twice, and a row that is written meanwhile stays where it is.
func (b *backend) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	m, err := b.model(t)
	if err != nil {
		return err
	}
	foreign := 0
	for typ := range m.types {
		s := scan{b: b, m: m, typ: typ, t: t, fn: fn, width: firstWidth}
		err := s.read(ctx)
		foreign += s.foreign
		if err != nil {
			return err
		}
	}
	if foreign > 0 {
		b.log.WarnContext(ctx, "a space has rows that Outflow did not write", "target", t.Name, "rows", foreign)
	}
	return nil
}

// scan reads one type.
type scan struct {
	b       *backend
	m       *model
	typ     int
	t       backends.Target
	fn      func([]backends.Entry) error
	width   int64 // of the next range
	foreign int
}

// read passes pages on. A range that has more rows than a page is narrowed and asked for again: nothing of it has been
// passed on. A server stops at the limit, so that this costs little. A range of a single slot is taken as it is.
func (s *scan) read(ctx context.Context) error {
	for from := int64(0); from >= 0; {
		last := from + min(s.width-1, math.MaxInt64-from)
		limit := scanPage + 1
		if s.width == 1 {
			limit = math.MaxInt32
		}
		data, err := s.b.pool.read(ctx, inSpace, s.statement(from, last, limit))
		if err != nil {
			return s.b.classifyFor("scan", s.t, err)
		}
		n := len(data.GetRows())
		if n > scanPage && s.width > 1 {
			s.width = max(s.width/8, 1)
			continue
		}
		if err := s.pass(data); err != nil {
			return err
		}
		from = last + 1 // below zero after the last one
		s.width = wider(s.width, n, scanPage*3/4)
	}
	return nil
}

// wider is the width of the next range, which is to have about so many rows, after one that had n.
func wider(width int64, n, aim int) int64 {
	factor := float64(aim) / float64(max(n, 1))
	next := float64(width) * min(max(factor, 0.25), 8)
	if next >= math.MaxInt64 {
		return math.MaxInt64
	}
	return max(int64(next), 1)
}

// statement asks for the rows of a range.
func (s *scan) statement(from, last int64, limit int) string {
	t := name(s.m.types[s.typ])
	key := "id(vertex)"
	if s.m.key.edge {
		key = "src(edge),dst(edge),rank(edge)"
	}
	slot := t + "." + name(slotProp)
	return fmt.Sprintf("LOOKUP ON %s WHERE %s >= %d AND %s <= %d YIELD %s,%s | LIMIT %d",
		t, slot, from, slot, last, key, strings.Join(entryYield(t), ","), limit)
}

// entryProps are what of a row Scan and Lookup read.
var entryProps = []string{keyProp, versionProp, digestProp}

func entryYield(t string) []string {
	all := make([]string, len(entryProps))
	for i, p := range entryProps {
		all[i] = t + "." + name(p)
	}
	return all
}

func (s *scan) pass(data *nebula.DataSet) error {
	page := make([]backends.Entry, 0, len(data.GetRows()))
	for _, row := range data.GetRows() {
		if e, ours := s.m.entry(s.typ, row.Values); ours {
			page = append(page, e)
		} else {
			s.foreign++
		}
	}
	if len(page) == 0 {
		return nil
	}
	return s.fn(page)
}

// entry is what a row says of itself. False: it is not where its key would put it, so it is none of ours.
func (m *model) entry(typ int, row []*nebula.Value) (backends.Entry, bool) {
	ends := 1
	if m.key.edge {
		ends = 3
	}
	if len(row) < ends+len(entryProps) {
		return backends.Entry{}, false
	}
	at := place{typ: typ, src: idOf(row[0])}
	if m.key.edge {
		at.dst, at.rank = idOf(row[1]), integer(row[2])
	}
	e := backends.Entry{Key: text(row[ends]), Version: integer(row[ends+1]), Digest: digestOf(text(row[ends+2]))}
	want, err := m.place(e.Key)
	return e, err == nil && e.Key != "" && want == at
}

// digestOf is a digest as it is stored. One that cannot be read is none of ours: it is the zero digest, which no
// record has, so that verify finds the row different.
func digestOf(text string) backends.Digest {
	d, err := backends.ParseDigest(text)
	if err != nil {
		return backends.Digest{}
	}
	return d
}

// Lookup fetches rows by id.
func (b *backend) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	m, err := b.model(t)
	if err != nil {
		return nil, err
	}
	byType := make([][]place, len(m.types))
	for _, key := range keys {
		if p, err := m.place(key); err == nil { // others cannot be there
			byType[p.typ] = append(byType[p.typ], p)
		}
	}
	var entries []backends.Entry
	for typ, places := range byType {
		for len(places) > 0 {
			part := places[:min(len(places), lookupMax)]
			places = places[len(part):]
			found, err := b.fetch(ctx, m, typ, part)
			if err != nil {
				return nil, b.classifyFor("lookup", t, err)
			}
			entries = append(entries, found...)
		}
	}
	return entries, nil
}

// fetch asks for rows of one type.
func (b *backend) fetch(ctx context.Context, m *model, typ int, places []place) ([]backends.Entry, error) {
	stmt, err := m.fetchProps(m.types[typ], entryProps, places)
	if err != nil {
		return nil, err
	}
	data, err := b.pool.read(ctx, inSpace, string(stmt))
	if err != nil {
		return nil, err
	}
	var entries []backends.Entry
	for _, row := range data.GetRows() {
		if e, ours := m.entry(typ, row.Values); ours { // a vertex may have other tags and not this one
			entries = append(entries, e)
		}
	}
	return entries, nil
}
