package config

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/jobs"
)

// document is the root of the file's only document, nil if the file is empty.
func (r *reader) document(data []byte) (root *yaml.Node, ok bool) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err == nil {
		root, err = next(loader)
	}
	if err == nil && root != nil {
		var second *yaml.Node
		if second, err = next(loader); second != nil {
			r.fail(second, "", "want one document, have a second one")
			return nil, false
		}
	}
	if err != nil {
		r.problems = append(r.problems, syntax(r.file, err))
		return nil, false
	}
	return root, true
}

// next is the root of the loader's next document, nil at the end.
func next(loader *yaml.Loader) (*yaml.Node, error) {
	var n yaml.Node
	err := loader.Load(&n)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
		return n.Content[0], nil
	default:
		return &n, nil
	}
}

// syntax is the problem for an error of the YAML library.
func syntax(file string, err error) Problem {
	p := Problem{File: file, Text: "not YAML: " + err.Error()}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		p.Line, p.Column = e.Mark.Line, e.Mark.Column
		p.Text = "not YAML: " + e.Message
		if strings.Contains(e.Message, "cannot start any token") {
			p.Text += ": indent with spaces, not tabs, and quote what begins with @ or `"
		}
	}
	return p
}

// config reads the whole file; root is nil if it is empty.
func (r *reader) config(c *Config, root *yaml.Node) {
	fields := r.override("", map[string]field{"database": r.database(&c.Database)})
	log := r.override("log", map[string]field{
		"level":  r.level(&c.Log.Level),
		"format": r.choice(&c.Log.Format, "text", "json"),
	})
	worker := r.override("worker", r.worker(&c.Worker))
	console := r.override("console", r.console(&c.Console))
	verify := r.override("verify", r.schedule(&c.Verify))
	fields["verify"] = func(n *yaml.Node, path string) {
		r.mapping(n, path, verify)
		r.planned(n, path, c.Verify)
	}
	fields["log"] = func(n *yaml.Node, path string) { r.mapping(n, path, log) }
	fields["worker"] = func(n *yaml.Node, path string) { r.mapping(n, path, worker) }
	fields["console"] = func(n *yaml.Node, path string) { r.mapping(n, path, console) }
	alerts := r.alerts(&c.Alerts)
	fields["alerts"] = func(n *yaml.Node, path string) { r.mapping(n, path, alerts) }
	fields["kinds"] = r.kinds(c)
	fields["backends"] = r.backends(c)
	fields["projections"] = r.projections(c)
	if root != nil {
		r.mapping(root, "", fields)
	}
}

func (r *reader) worker(w *jobs.Settings) map[string]field {
	return map[string]field{
		"lanes":         r.count(&w.Lanes, 256),
		"page_keys":     r.count(&w.PageKeys, 100_000),
		"portion_bytes": r.size(&w.PortionBytes, 64<<10, "8MiB"),
		"memory_bytes":  r.size(&w.MemoryBytes, 1<<20, "128MiB"),
		"batch_records": r.count(&w.BatchRecords, 100_000),
		"batch_bytes":   r.size(&w.BatchBytes, 64<<10, "4MiB"),
		"lease":         r.duration(&w.Lease, time.Second, "10s"),
		"slice":         r.duration(&w.Slice, time.Second, "10s"),
		"linger":        r.duration(&w.Linger, time.Millisecond, "2s"),
		"patience":      r.duration(&w.Patience, time.Millisecond, "15s"),
		"request":       r.duration(&w.Request, time.Millisecond, "30s"),
		"save_every":    r.duration(&w.SaveEvery, time.Millisecond, "200ms"),
		"retention":     r.duration(&w.Retention, time.Minute, "7d"),
		"audit":         r.duration(&w.Audit, time.Minute, "7d"),
		"history":       r.duration(&w.History, time.Minute, "7d"),
		"zombie":        r.duration(&w.Zombie, time.Minute, "24h"),
		"late":          r.duration(&w.Late, time.Second, "15m"),
		"poll":          r.flag(&w.Poll),
		"refuse_copy":   r.flag(&w.RefuseCopy),
		"retry_first":   r.duration(&w.RetryFirst, time.Second, "1m"),
		"retry_most":    r.duration(&w.RetryMost, time.Second, "6h"),
		"park_limit":    r.parkLimit(&w.ParkLimit),
	}
}

// limits reads what a backend has otherwise than worker says.
func (r *reader) limits(l *jobs.Limits) map[string]field {
	return map[string]field{
		"lanes":         r.count(&l.Lanes, 256),
		"batch_records": r.count(&l.BatchRecords, 100_000),
		"batch_bytes":   r.size(&l.BatchBytes, 64<<10, "4MiB"),
		"patience":      r.duration(&l.Patience, time.Millisecond, "15s"),
		"request":       r.duration(&l.Request, time.Millisecond, "30s"),
		"rate":          r.count(&l.Rate, 100_000_000),
		"in_turn":       r.flag(&l.InTurn),
		"park_limit":    r.parkLimit(&l.ParkLimit),
	}
}

// schedule reads when backends are verified.
func (r *reader) schedule(s *jobs.Schedule) map[string]field {
	return map[string]field{
		"every":    r.duration(&s.Every, time.Minute, "24h"),
		"from":     r.clock(&s.From),
		"to":       r.clock(&s.To),
		"zone":     r.zone(&s.Zone),
		"repair":   r.flag(&s.Repair),
		"deep":     r.flag(&s.Deep),
		"dangling": r.flag(&s.Dangling),
		"rate":     r.rate(&s.Rate),
	}
}

// planned notes what a schedule has without being one.
func (r *reader) planned(n *yaml.Node, path string, s jobs.Schedule) {
	if s.Every == 0 && n.Kind == yaml.MappingNode && len(n.Content) > 0 && len(r.problems) == 0 {
		r.fail(n, path, "every is missing: want how often, such as 24h")
	}
	if n.Kind == yaml.MappingNode && has(n, "from") != has(n, "to") {
		r.fail(n, path, "from and to go together: want both, such as 02:00 and 05:00, or none")
	}
}

// own reads when one backend is verified, where that differs from what holds for all. off is never.
func (r *reader) own(n *yaml.Node, path string, s *jobs.Schedule) {
	if n.Kind == yaml.ScalarNode && n.Value == "off" {
		*s = jobs.Schedule{}
		return
	}
	r.mapping(n, path, r.schedule(s))
	r.planned(n, path, *s)
}

// check runs what had to wait until everything was read.
func (r *reader) check() {
	for _, check := range r.checks {
		check()
	}
}
