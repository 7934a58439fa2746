package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"github.com/vesoft-inc/nebula-go/v3/nebula/graph"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// skip is why a scenario cannot be run here.
type skip struct{ reason string }

func (s skip) Error() string { return s.reason }

// target is the server that scenarios run against.
type target struct {
	server nebulatest.Server
	wait   func(time.Duration) // sleeps, or moves the clock of a server in the process
	data   string              // the directory that has nba
	spaces int
	shared map[string]string // the spaces that scenarios share, by the name of their data
}

// world is what the steps of a scenario share.
type world struct {
	t        *target
	conn     *nebulatest.Conn
	space    string
	borrowed bool // the space is shared
	params   map[string]*nebula.Value
	last     *graph.ExecutionResponse
	hashed   []string // columns of the expected table whose strings are hashed
	cell     string
}

// run runs a scenario; nil: it passes.
func (t *target) run(ctx context.Context, s scenario) error {
	if s.skipped {
		return skip{"tagged @skip"}
	}
	conn, err := t.server.Dial(ctx)
	if err != nil {
		return err
	}
	w := &world{t: t, conn: conn}
	defer w.close()
	for _, st := range s.steps {
		if err := w.step(ctx, st); err != nil {
			if sk, ok := errors.AsType[skip](err); ok {
				return sk
			}
			return fmt.Errorf("line %d: %s: %w", st.line, st.text, err)
		}
	}
	return nil
}

func (w *world) close() {
	if w.space != "" && !w.borrowed {
		_, _ = w.conn.Execute("DROP SPACE IF EXISTS "+w.space, nil) // a leftover does no harm
	}
	w.conn.Close()
}

// step carries one step out.
func (w *world) step(ctx context.Context, st step) error {
	text := st.text
	switch {
	case text == "an empty graph", text == "wait all indexes ready", text == "wait the job to finish":
		return nil
	case strings.HasPrefix(text, "clear the used parameters"):
		w.params = nil
		return nil
	case strings.HasPrefix(text, "create a space with following options"):
		return w.create(st.table)
	case strings.HasPrefix(text, "load ") && strings.Contains(text, "csv data to a new space"):
		return w.load(quoted(text))
	case strings.HasPrefix(text, "a graph with space named"):
		return w.share(quoted(text))
	case strings.HasPrefix(text, "parameters:"):
		return w.setParams(strings.TrimPrefix(text, "parameters:"))
	case strings.HasPrefix(text, "wait "):
		return w.pause(text)
	case strings.HasPrefix(text, "having executed"):
		w.last = nil
		if err := w.query(st.doc, true); err != nil {
			return err
		}
		return w.successful()
	case strings.HasPrefix(text, "executing query with user"):
		return w.queryAs(ctx, text, st.doc)
	case strings.HasPrefix(text, "executing query"), strings.HasPrefix(text, "try to execute query"),
		strings.HasPrefix(text, "submit a job"), strings.HasPrefix(text, "profiling query"):
		retried := strings.HasPrefix(text, "try") || strings.Contains(text, "retrying") || strings.HasPrefix(text, "submit")
		return w.query(st.doc, retried)
	case text == "drop the used space":
		return w.drop()
	}
	return w.check(st)
}

// quoted is what a step has in quotes.
func quoted(text string) string {
	_, rest, _ := strings.Cut(text, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

func (w *world) create(table [][]string) error {
	options := map[string]string{"vid_type": "FIXED_STRING(30)", "partition_num": "1", "replica_factor": "1"}
	var list []string
	for _, row := range table {
		options[row[0]] = row[1]
	}
	for _, k := range []string{"partition_num", "replica_factor", "vid_type", "charset", "collate"} {
		if options[k] != "" {
			list = append(list, k+" = "+options[k])
		}
	}
	w.t.spaces++
	name := options["name"]
	if name == "" {
		name = fmt.Sprintf("scenario_%d", w.t.spaces)
	}
	if err := w.drop(); err != nil {
		return err
	}
	w.space = name
	return w.setUp("CREATE SPACE " + name + " (" + strings.Join(list, ", ") + ")")
}

// setUp makes the space and uses it.
func (w *world) setUp(create string) error {
	for _, q := range []string{create, "USE " + w.space} {
		if err := w.query(q, true); err != nil {
			return err
		}
		if err := w.successful(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) drop() error {
	name := w.space
	if w.space = ""; name == "" || w.borrowed {
		w.borrowed = false
		return nil
	}
	r, err := w.conn.Execute("DROP SPACE IF EXISTS "+name, nil)
	if err == nil && r.ErrorCode != nebula.ErrorCode_SUCCEEDED {
		err = fmt.Errorf("dropping the space: %s", r.ErrorMsg)
	}
	return err
}

func (w *world) pause(text string) error {
	f := strings.Fields(text)
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return skip{"step: " + text}
	}
	w.t.wait(time.Duration(n) * time.Second)
	return nil
}

// attempts and pauses for statements that follow a change of the schema.
const attempts = 20

// query runs statements as one line, as the kit does. An answer that the server does not interpret skips the scenario.
func (w *world) query(doc string, retried bool) error {
	stmt := strings.Join(strings.Split(strings.TrimSpace(doc), "\n"), " ")
	for i := 0; ; i++ {
		r, err := w.conn.Execute(stmt, w.params)
		if err != nil {
			return err
		}
		w.last = r
		if msg := string(r.ErrorMsg); strings.HasPrefix(msg, "not interpreted by this server: ") {
			return skip{strings.TrimPrefix(msg, "not interpreted by this server: ")}
		}
		if r.ErrorCode == nebula.ErrorCode_SUCCEEDED || !retried || i == attempts {
			return nil
		}
		if r.ErrorCode == nebula.ErrorCode_E_SYNTAX_ERROR {
			return nil
		}
		w.t.wait(time.Second)
	}
}

func (w *world) queryAs(ctx context.Context, text, doc string) error {
	f := strings.Split(text, `"`)
	if len(f) < 4 {
		return skip{"step: " + text}
	}
	server := w.t.server
	server.User, server.Password = f[1], f[3]
	conn, err := server.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	mine := w.conn
	w.conn = conn
	defer func() { w.conn = mine }()
	return w.query(doc, false)
}

func (w *world) successful() error {
	if w.last.ErrorCode != nebula.ErrorCode_SUCCEEDED {
		return fmt.Errorf("%s (%d)", w.last.ErrorMsg, w.last.ErrorCode)
	}
	return nil
}

// rows are the names and the rows of the last answer.
func (w *world) rows() (names []string, rows [][]any) {
	for _, n := range w.last.GetData().GetColumnNames() {
		names = append(names, string(n))
	}
	for _, r := range w.last.GetData().GetRows() {
		row := make([]any, len(r.Values))
		for i, v := range r.Values {
			row[i] = value.FromWire(v)
		}
		rows = append(rows, row)
	}
	return names, rows
}
