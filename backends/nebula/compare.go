package nebula

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// indexName is that of the index which Scan reads by, without the type's.
const indexName = "outflow"

// space is what the server has of the space.
type space struct {
	there                bool
	vid                  string
	partitions, replicas int64
}

// schema is what the server has of a tag or an edge type.
type schema struct {
	there   bool
	props   map[string]column
	order   []string
	indexes map[string][]string // fields by name of the index, as field.String
}

type column struct {
	typ      string // in lower case
	required bool   // a row must give it
}

// Plan tells what Prepare would do.
func (b *backend) Plan(ctx context.Context, targets []backends.Target) ([]backends.Change, error) {
	models, err := b.models(targets)
	if err != nil {
		return nil, err
	}
	if len(models) == 0 {
		return nil, nil
	}
	s, err := b.lookSpace(ctx)
	if err != nil {
		return nil, b.classify("plan", err)
	}
	changes := b.compareSpace(s)
	for i, t := range targets {
		for _, typ := range models[i].types {
			have := schema{}
			if s.there {
				if have, err = b.lookSchema(ctx, models[i], typ); err != nil {
					return nil, b.classifyFor("plan", t, err)
				}
			}
			changes = append(changes, models[i].compare(typ, have)...)
		}
	}
	return changes, nil
}

func (b *backend) models(targets []backends.Target) ([]*model, error) {
	models := make([]*model, len(targets))
	owner := map[string]string{}
	for i, t := range targets {
		var err error
		if models[i], err = b.model(t); err != nil {
			return nil, err
		}
		for _, typ := range models[i].types {
			if other, taken := owner[typ]; taken { // verify would take one's rows for the other's
				e := b.failFor("layout", t, backends.Rejected, fmt.Errorf("%s %s is of two targets, %s and %s", strings.ToLower(models[i].what()), typ, other, t.Name))
				e.Advice = "give each target tags and edge types of its own"
				return nil, e
			}
			owner[typ] = t.Name
		}
	}
	return models, nil
}

// says is whether the server says words.
func says(err error, words ...string) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e.text, w) })
}

// name is a name as a statement has it. It has been checked.
func name(s string) string { return string(ngql.AppendName(nil, s)) }

// lookSpace asks for the space.
func (b *backend) lookSpace(ctx context.Context) (space, error) {
	data, err := b.pool.read(ctx, inSpace, "DESCRIBE SPACE "+name(b.options.space)) // in it, that is to say with the right to read it
	if says(err, "SpaceNotFound", "Space not existed", "Space not found") {
		return space{}, nil
	}
	if err != nil {
		return space{}, err
	}
	for _, row := range values(data, 7) {
		return space{true, text(row[6]), integer(row[2]), integer(row[3])}, nil
	}
	return space{}, errors.New("the server describes a space without a row")
}

// compareSpace lists what differs. No difference can be mended in place.
func (b *backend) compareSpace(s space) []backends.Change {
	o := b.options
	if !s.there {
		return []backends.Change{{What: backends.Create, Field: "space", To: fmt.Sprintf("%s, vid %s", o.space, o.vid)}}
	}
	var found []backends.Change
	note := func(field, from, to string) {
		if from != to {
			found = append(found, backends.Change{What: backends.Rebuild, Field: field, From: from, To: to})
		}
	}
	note("vid", strings.ToUpper(s.vid), o.vid.String())
	if o.partitions > 0 {
		note("partitions", strconv.FormatInt(s.partitions, 10), strconv.Itoa(o.partitions))
	}
	if o.replicas > 0 {
		note("replicas", strconv.FormatInt(s.replicas, 10), strconv.Itoa(o.replicas))
	}
	return found
}

// lookSchema asks for a tag or an edge type, with its indexes.
func (b *backend) lookSchema(ctx context.Context, m *model, typ string) (schema, error) {
	s := schema{props: map[string]column{}, indexes: map[string][]string{}}
	data, err := b.pool.read(ctx, inSpace, "DESCRIBE "+m.what()+" "+name(typ))
	if says(err, "TagNotFound", "EdgeNotFound", "not existed", "not found") {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.there = true
	for _, row := range values(data, 4) {
		n, def := text(row[0]), row[3]
		s.order = append(s.order, n)
		s.props[n] = column{strings.ToLower(text(row[1])), text(row[2]) == "NO" && (def == nil || def.CountSetFieldsValue() == 0 || def.NVal != nil)}
	}
	data, err = b.pool.read(ctx, inSpace, "SHOW "+m.what()+" INDEXES BY "+name(typ))
	if err != nil {
		return s, err
	}
	for _, row := range values(data, 1) {
		if err := b.lookIndex(ctx, m, text(row[0]), &s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// lookIndex asks for the fields of an index.
func (b *backend) lookIndex(ctx context.Context, m *model, index string, s *schema) error {
	data, err := b.pool.read(ctx, inSpace, "DESCRIBE "+m.what()+" INDEX "+name(index))
	if err != nil {
		return err
	}
	fields := []string{}
	for _, row := range values(data, 2) {
		f := field{name: text(row[0])}
		if n, ok := strings.CutPrefix(strings.ToLower(text(row[1])), "fixed_string("); ok && s.props[f.name].typ == "string" {
			f.length, _ = strconv.Atoi(strings.TrimSuffix(n, ")")) // the server wrote it
		}
		fields = append(fields, f.String())
	}
	s.indexes[index] = fields
	return nil
}

// wanted are the indexes that a type shall have, in the order in which they are made: that of Scan last, so that a
// server which has it has all of them.
func (m *model) wanted(typ string) []index {
	var all []index
	for _, i := range m.indexes {
		all = append(all, index{typ + "_" + i.name, i.fields})
	}
	return append(all, index{typ + "_" + indexName, []field{{name: slotProp}}})
}

func (i index) texts() []string {
	all := make([]string, len(i.fields))
	for n, f := range i.fields {
		all[n] = f.String()
	}
	return all
}

// compare lists what differs between a type and what is wanted of it. What the server has and nobody asked for is left
// alone, unless no row could be written.
func (m *model) compare(typ string, have schema) []backends.Change {
	var found []backends.Change
	prefix := ""
	if len(m.types) > 1 {
		prefix = typ + "."
	}
	note := func(what backends.ChangeKind, field, from, to string) {
		found = append(found, backends.Change{Target: m.target, What: what, Field: field, From: from, To: to})
	}
	if !have.there {
		note(backends.Create, strings.TrimSuffix(prefix, "."), "", strings.ToLower(m.what())+" "+typ)
		return found
	}
	ours := slices.Concat(own, m.props)
	for _, p := range ours {
		switch c, ok := have.props[p.name]; {
		case !ok:
			note(backends.Alter, prefix+"properties."+p.name, "", p.typ)
		case c.typ != strings.ToLower(p.typ):
			note(backends.Rebuild, prefix+"properties."+p.name, strings.ToUpper(c.typ), p.typ)
		}
	}
	for _, n := range have.order {
		known := slices.ContainsFunc(ours, func(p property) bool { return p.name == n })
		if have.props[n].required && !known {
			note(backends.Rebuild, prefix+"properties."+n, strings.ToUpper(have.props[n].typ)+" NOT NULL", "")
		}
	}
	for _, i := range m.wanted(typ) {
		want := strings.Join(i.texts(), ",")
		switch fields, ok := have.indexes[i.name]; {
		case !ok:
			note(backends.Alter, prefix+"indexes."+i.name, "", want)
		case strings.Join(fields, ",") != want:
			note(backends.Rebuild, prefix+"indexes."+i.name, strings.Join(fields, ","), want)
		}
	}
	return found
}
