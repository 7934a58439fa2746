package exec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

func table(names string, rows ...[]any) *Table {
	t := &Table{Names: strings.Split(names, "|"), Rows: rows}
	t.Types = make([]string, len(t.Names))
	return t
}

// answering is a plan whose columns can be piped on.
func answering(names string, rows func(r *runner) ([][]any, error)) *plan {
	t := table(names)
	return &plan{t.Names, t.Types, func(r *runner, _ *Table) (*Table, error) {
		all, err := rows(r)
		if err != nil {
			return nil, err
		}
		return table(names, all...), nil
	}}
}

func comment(c *string) any {
	if c == nil {
		return nil
	}
	return *c
}

func describe(s *ngql.Describe) *plan {
	edge := s.What[0] == 'E'
	switch s.What {
	case "SPACE":
		return answering("ID|Name|Partition Number|Replica Factor|Charset|Collate|Vid Type|Comment", func(r *runner) ([][]any, error) {
			sp := r.c.Store.Any(s.Name)
			if sp == nil {
				return nil, graph.ErrNoSpace
			}
			return [][]any{{
				int64(sp.ID), sp.Name, int64(sp.Parts), int64(sp.Replicas), sp.Charset, sp.Collate, strings.ToUpper(sp.Vid.String()), comment(sp.Comment),
			}}, nil
		})
	case "TAG", "EDGE":
		return answering("Field|Type|Null|Default|Comment", func(r *runner) ([][]any, error) {
			space, err := r.space()
			if err != nil {
				return nil, err
			}
			sc, err := space.Latest(edge, s.Name)
			if err != nil {
				return nil, err
			}
			return described(sc), nil
		})
	}
	return answering("Field|Type", func(r *runner) ([][]any, error) {
		i, sc, err := r.index(edge, s.Name)
		if err != nil {
			return nil, err
		}
		var rows [][]any
		for _, f := range i.Fields {
			typ := sc.Columns[sc.Index(f.Name)].Type.String()
			if f.Len > 0 {
				typ = fmt.Sprintf("fixed_string(%d)", f.Len)
			}
			rows = append(rows, []any{f.Name, typ})
		}
		return rows, nil
	})
}

func described(sc *graph.Schema) [][]any {
	var rows [][]any
	for _, c := range sc.Columns {
		null := "YES"
		if c.NotNull {
			null = "NO"
		}
		var def any
		if k, ok := c.Default.(*ngql.Const); ok {
			def = k.Value
		} else if c.Default != nil {
			def = c.Default.String()
		}
		rows = append(rows, []any{c.Name, c.Type.String(), null, def, comment(c.Comment)})
	}
	return rows
}

func (r *runner) index(edge bool, name string) (*graph.Index, *graph.Schema, error) {
	space, err := r.space()
	if err != nil {
		return nil, nil, err
	}
	i := space.Index(edge, name)
	if i == nil {
		return nil, nil, graph.ErrNoIndex
	}
	sc, err := space.Latest(edge, i.On)
	return i, sc, err
}

func showCreate(s *ngql.ShowCreate) *plan {
	edge := s.What[0] == 'E'
	title := map[string]string{
		"SPACE": "Space|Create Space", "TAG": "Tag|Create Tag", "EDGE": "Edge|Create Edge",
		"TAG INDEX": "Tag Index Name|Create Tag Index", "EDGE INDEX": "Edge Index Name|Create Edge Index",
	}[s.What]
	return answering(title, func(r *runner) ([][]any, error) {
		if s.What == "SPACE" {
			sp := r.c.Store.Any(s.Name)
			if sp == nil {
				return nil, graph.ErrNoSpace
			}
			return [][]any{{sp.Name, spaceText(sp)}}, nil
		}
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		if s.What == "TAG" || s.What == "EDGE" {
			sc, err := space.Latest(edge, s.Name)
			if err != nil {
				return nil, err
			}
			return [][]any{{sc.Name, schemaText(s.What, sc)}}, nil
		}
		i, sc, err := r.index(edge, s.Name)
		if err != nil {
			return nil, err
		}
		return [][]any{{i.Name, indexText(s.What, i, sc)}}, nil
	})
}

func spaceText(sp *graph.Space) string {
	text := fmt.Sprintf("CREATE SPACE `%s` (partition_num = %d, replica_factor = %d, charset = %s, collate = %s, vid_type = %s)",
		sp.Name, sp.Parts, sp.Replicas, sp.Charset, sp.Collate, strings.ToUpper(sp.Vid.String()))
	if sp.Comment != nil {
		text += ` comment = '` + *sp.Comment + `'`
	}
	return text
}

func schemaText(what string, sc *graph.Schema) string {
	lines := make([]string, len(sc.Columns))
	for i, row := range described(sc) {
		null := "NULL"
		if row[2] == "NO" {
			null = "NOT NULL"
		}
		lines[i] = fmt.Sprintf(" `%s` %s %s", row[0], row[1], null)
		if sc.Columns[i].Default != nil {
			def := value.Text(row[3])
			if _, ok := sc.Columns[i].Default.(*ngql.Const); !ok {
				def = value.Plain(row[3])
			}
			lines[i] += " DEFAULT " + def
		}
		if row[4] != nil {
			lines[i] += " COMMENT " + value.Text(row[4])
		}
	}
	text := "CREATE " + what + " `" + sc.Name + "` (\n" + strings.Join(lines, ",\n")
	if len(lines) > 0 {
		text += "\n"
	}
	text += fmt.Sprintf(") ttl_duration = %d, ttl_col = %q", sc.TTLDuration, sc.TTLCol)
	if sc.Comment != nil {
		text += `, comment = "` + *sc.Comment + `"`
	}
	return text
}

func indexText(what string, i *graph.Index, sc *graph.Schema) string {
	lines := make([]string, len(i.Fields))
	for n, f := range i.Fields {
		lines[n] = " `" + f.Name + "`"
		if t := sc.Columns[sc.Index(f.Name)].Type; f.Len > 0 || t.Len > 0 {
			lines[n] += fmt.Sprintf("(%d)", cmp.Or(f.Len, t.Len))
		}
	}
	text := "CREATE " + what + " `" + i.Name + "` ON `" + i.On + "` (\n" + strings.Join(lines, ",\n") + "\n)"
	if i.Comment != nil {
		text += ` comment "` + *i.Comment + `"`
	}
	return text
}

// listings are the forms of SHOW, and what fills them.
var listings = map[string]struct {
	names string
	rows  func(r *runner, s *ngql.Show) ([][]any, error)
}{
	"SPACES":            {"Name", func(r *runner, _ *ngql.Show) ([][]any, error) { return single(r.c.Store.Spaces()), nil }},
	"TAGS":              {"Name", schemaNames(false)},
	"EDGES":             {"Name", schemaNames(true)},
	"TAG INDEXES":       {"Index Name|By Tag|Columns", indexes(false)},
	"EDGE INDEXES":      {"Index Name|By Edge|Columns", indexes(true)},
	"TAG INDEX STATUS":  {"Name|Index Status", indexStatus(false)},
	"EDGE INDEX STATUS": {"Name|Index Status", indexStatus(true)},
	"HOSTS":             {"Host|Port|Status|Leader count|Leader distribution|Partition distribution|Version", hosts},
	"PARTS":             {"Partition ID|Leader|Peers|Losts", parts},
	"PART":              {"Partition ID|Leader|Peers|Losts", parts},
	"JOBS":              {"Job Id|Command|Status|Start Time|Stop Time", jobs},
	"JOB":               {"Job Id(spaceId:partId)|Command(Dest)|Status|Start Time|Stop Time|Error Code", jobs},
	"SESSIONS":          {sessionColumns, sessions},
	"LOCAL SESSIONS":    {sessionColumns, sessions},
	"STATS":             {"Type|Name|Count", stats},
	"USERS":             {"Account|IP Whitelist", users},
	"ROLES IN":          {"Account|Role Type", roles},
	"CHARSET":           {"Charset|Description|Default collation|Maxlen", constant("utf8", "UTF-8 Unicode", "utf8_bin", int64(4))},
	"COLLATION":         {"Collation|Charset", constant("utf8_bin", "utf8")},
}

const sessionColumns = "SessionId|UserName|SpaceName|CreateTime|UpdateTime|GraphAddr|Timezone|ClientIp"

func show(s *ngql.Show) *plan {
	l := listings[s.What]
	names := l.names
	switch {
	case s.Name != "" && strings.HasSuffix(s.What, "INDEXES"):
		names = "Index Name|Columns"
	case s.What == "HOSTS" && s.Name != "":
		names = "Host|Port|Status|Role|Git Info Sha|Version"
	}
	return answering(names, func(r *runner) ([][]any, error) { return l.rows(r, s) })
}

func constant(row ...any) func(*runner, *ngql.Show) ([][]any, error) {
	return func(*runner, *ngql.Show) ([][]any, error) { return [][]any{row}, nil }
}

func single(names []string) [][]any {
	rows := make([][]any, len(names))
	for i, n := range names {
		rows[i] = []any{n}
	}
	return rows
}

func schemaNames(edge bool) func(*runner, *ngql.Show) ([][]any, error) {
	return func(r *runner, _ *ngql.Show) ([][]any, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		return single(space.Names(edge)), nil
	}
}

func indexes(edge bool) func(*runner, *ngql.Show) ([][]any, error) {
	return func(r *runner, s *ngql.Show) ([][]any, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var rows [][]any
		for _, i := range space.Indexes(edge) {
			if s.Name != "" && s.Name != i.On {
				continue
			}
			cols := value.List{}
			for _, f := range i.Fields {
				cols = append(cols, f.Name)
			}
			if s.Name != "" {
				rows = append(rows, []any{i.Name, cols})
			} else {
				rows = append(rows, []any{i.Name, i.On, cols})
			}
		}
		return rows, nil
	}
}

func indexStatus(edge bool) func(*runner, *ngql.Show) ([][]any, error) {
	return func(r *runner, _ *ngql.Show) ([][]any, error) {
		space, err := r.space()
		if err != nil {
			return nil, err
		}
		var rows [][]any
		for _, i := range space.Indexes(edge) {
			if space.Built(i) {
				rows = append(rows, []any{i.Name, "FINISHED"})
			}
		}
		return rows, nil
	}
}

func hosts(r *runner, s *ngql.Show) ([][]any, error) {
	host, port := r.c.Admin.Address()
	if s.Name != "" {
		return [][]any{{host, port, "ONLINE", s.Name, "stand-in", "3.8.0"}}, nil
	}
	total, text := int64(0), []string{}
	for _, n := range r.c.Store.Spaces() {
		if sp := r.c.Store.Any(n); sp != nil {
			total += int64(sp.Parts)
			text = append(text, fmt.Sprintf("%s:%d", n, sp.Parts))
		}
	}
	spread := strings.Join(text, ", ")
	if spread == "" {
		spread = "No valid partition"
	}
	return [][]any{{host, port, "ONLINE", total, spread, spread, "3.8.0"}}, nil
}

func parts(r *runner, s *ngql.Show) ([][]any, error) {
	space, err := r.space()
	if err != nil {
		return nil, err
	}
	host, port := r.c.Admin.Address()
	leader := fmt.Sprintf("%s:%d", host, port)
	var rows [][]any
	for i := range space.Parts {
		if s.Name == "" || s.Name == fmt.Sprint(i+1) {
			rows = append(rows, []any{int64(i + 1), leader, leader, ""})
		}
	}
	return rows, nil
}

func jobs(r *runner, s *ngql.Show) ([][]any, error) {
	var rows [][]any
	for _, j := range r.c.Store.Jobs(r.c.Space) {
		at := value.DateTime(j.At)
		switch {
		case s.What == "JOBS":
			rows = append(rows, []any{j.ID, j.Command, "FINISHED", at, at})
		case s.Name == fmt.Sprint(j.ID):
			rows = append(rows, []any{j.ID, j.Command, "FINISHED", at, at, "SUCCEEDED"})
		}
	}
	if s.What == "JOB" && rows == nil {
		return nil, graph.Failed("Job not existed in chosen space!")
	}
	return rows, nil
}

func sessions(r *runner, _ *ngql.Show) ([][]any, error) { return r.c.Admin.Sessions(), nil }

func stats(r *runner, _ *ngql.Show) ([][]any, error) {
	space, err := r.space()
	if err != nil {
		return nil, err
	}
	var rows [][]any
	for _, s := range space.Stats() {
		kind, name, _ := strings.Cut(s[0].(string), "|") // always text
		rows = append(rows, []any{kind, name, s[1]})
	}
	if rows == nil {
		return nil, graph.Failed("There is no any stats info to show, please execute `submit job stats' firstly!")
	}
	return rows, nil
}

func users(r *runner, _ *ngql.Show) ([][]any, error) {
	rows := single(r.c.Admin.Accounts())
	for i := range rows {
		rows[i] = append(rows[i], "")
	}
	return rows, nil
}

func roles(r *runner, s *ngql.Show) ([][]any, error) {
	var rows [][]any
	for _, ur := range r.c.Admin.Roles(s.Name) {
		rows = append(rows, []any{ur[0], ur[1]})
	}
	slices.SortFunc(rows, func(a, b []any) int { return value.Compare(a[0], b[0]) })
	return rows, nil
}
