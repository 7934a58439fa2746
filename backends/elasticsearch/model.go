package elasticsearch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/settings"
)

// What a target's settings are when they are not given.
const (
	DefaultShards    = 1
	DefaultReplicas  = 1
	DefaultRefresh   = time.Second
	DefaultTombstone = time.Hour // index.gc_deletes
)

// leastTombstone is longer than a request can be under way: until then a late write must meet the delete.
const leastTombstone = time.Minute

// model is what a target's settings make of its index.
type model struct {
	names
	target   string // as Target.Name
	kind     string
	building bool
	fields   map[string]any    // mappings by field
	settings map[string]string // of the index, flat, as the server tells them
	filling  map[string]string // the same while it is building
	nested   map[string]any    // the target's own settings, as configured
	own      map[string]string // the same, flat
}

// model reads the target's settings: shards, replicas, refresh, gc_deletes, settings, fields.
func (b *backend) model(t backends.Target) (*model, error) {
	n, err := b.names(t)
	if err != nil {
		return nil, err
	}
	r := settings.New(t.Settings)
	m := &model{names: n, target: t.Name, kind: t.Kind, building: t.Building, fields: map[string]any{}}
	m.readSettings(r)
	for _, c := range t.Columns {
		if c.Name == digestField {
			r.Fail("fields", fmt.Sprintf("cannot have %s: the name is taken, so give the column another in the query", digestField))
		}
		m.fields[c.Name] = fieldOf(c)
	}
	m.readFields(r)
	m.fields[digestField] = map[string]any{"type": "keyword", "index": false}
	if err := r.Err(); err != nil {
		e := b.failFor("layout", t, backends.Rejected, err)
		e.Advice = "mend the target's settings"
		return nil, e
	}
	return m, nil
}

// readSettings takes the settings of the index.
func (m *model) readSettings(r *settings.Reader) {
	m.settings = map[string]string{
		"index.number_of_shards":   strconv.Itoa(r.Int("shards", DefaultShards, 1, 1024)),
		"index.number_of_replicas": strconv.Itoa(r.Int("replicas", DefaultReplicas, 0, 100)),
		"index.refresh_interval":   timeValue(r.Duration("refresh", DefaultRefresh, 0)),
		"index.gc_deletes":         timeValue(r.Duration("gc_deletes", DefaultTombstone, leastTombstone)),
	}
	m.nested = r.Values("settings")
	m.own = flatten("index", m.nested)
	for _, name := range slices.Sorted(maps.Keys(m.own)) {
		if _, taken := m.settings[name]; taken {
			r.Fail("settings", "cannot have "+name+": it is one of shards, replicas, refresh and gc_deletes")
		}
	}
	maps.Copy(m.settings, m.own)
	m.filling = maps.Clone(m.settings)
	m.filling["index.number_of_replicas"] = "0"
	m.filling["index.refresh_interval"] = "-1"
}

// readFields takes mappings that replace what follows from the columns' types.
func (m *model) readFields(r *settings.Reader) {
	own := r.Values("fields")
	for _, name := range slices.Sorted(maps.Keys(own)) {
		mapping, ok := own[name].(map[string]any)
		switch _, there := m.fields[name]; {
		case !there:
			r.Fail("fields", fmt.Sprintf("has %q, which the projection does not yield: have %v", name, slices.Sorted(maps.Keys(m.fields))))
		case !ok || len(mapping) == 0:
			r.Fail("fields."+name, `must be a mapping, such as {type: keyword}`)
		default:
			m.fields[name] = mapping
		}
	}
}

// wanted are the settings of the index as they shall be now.
func (m *model) wanted() map[string]string {
	if m.building {
		return m.filling
	}
	return m.settings
}

// mappings is the body of the index's mappings: strict, so that no field comes to be by chance.
func (m *model) mappings() map[string]any {
	return map[string]any{
		"dynamic":    "strict",
		"_meta":      map[string]any{"outflow": map[string]any{"kind": m.kind, "target": m.alias}},
		"properties": m.fields,
	}
}

// timeValue is a duration as the server writes it, in its largest whole unit.
func timeValue(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if d >= u.unit && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// flatten, with prefix "index", makes "index.analysis.filter.x.type" of nested maps, with values as the server tells them.
func flatten(prefix string, values map[string]any) map[string]string {
	flat := map[string]string{}
	for name, v := range values {
		path := strings.TrimPrefix(prefix+"."+name, ".")
		switch v := v.(type) {
		case map[string]any:
			maps.Copy(flat, flatten(path, v))
		case []any:
			for i, element := range v {
				maps.Copy(flat, flatten(path, map[string]any{strconv.Itoa(i): element}))
			}
		default:
			flat[path] = textOf(v)
		}
	}
	return flat
}

// textOf is a value as one text: two that mean the same to the server are equal.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
