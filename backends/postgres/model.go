package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/settings"
)

// A model is what a target's settings make of its table.
type model struct {
	table      string // schema and name, quoted
	name       string
	text       []string // columns for search, the most important first
	language   string
	vector     string // the column for nearest
	dimensions int    // 0: any
	edge       edge
	layout     backends.Layout
}

type edge struct{ from, to, typ string }

// Names that begin so are ours: other tables, indexes, functions.
const reserved = "_outflow"

const (
	maxName         = 63 // PostgreSQL cuts longer names, so that two could become one
	maxDimensions   = 16000
	defaultLanguage = "english"
)

var languageName = regexp.MustCompile(`^[a-z]{1,40}$`)

func validName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// model reads the target's settings: text, language, vector, dimensions, edge.
func (b *backend) model(t backends.Target) (*model, error) {
	r := settings.New(t.Settings)
	m := &model{
		name:       t.Name,
		table:      pgx.Identifier{b.schema, t.Name}.Sanitize(),
		text:       r.Strings("text"),
		language:   r.String("language", defaultLanguage),
		vector:     r.String("vector", ""),
		dimensions: r.Int("dimensions", 0, 0, maxDimensions),
	}
	r.Map("edge", func(r *settings.Reader) {
		m.edge = edge{r.String("from", ""), r.String("to", ""), r.String("type", "")}
		if m.edge.from == "" || m.edge.to == "" {
			r.Fail("from", "and to must both be there: the columns that hold the two keys")
		}
	})
	m.check(r, t)
	err := r.Err()
	if !validName(t.Name) || strings.HasPrefix(t.Name, reserved) {
		err = errors.Join(err, fmt.Errorf("target %q cannot be a table: want 1 to %d bytes, no NUL, not beginning with %s", t.Name, maxName, reserved))
	}
	if err != nil {
		e := b.failFor("layout", t, backends.Rejected, err)
		e.Advice = "mend the target's settings"
		return nil, e
	}
	m.layout = backends.DocLayout(t)
	if m.vector != "" {
		m.layout.Doc = slices.DeleteFunc(m.layout.Doc, func(name string) bool { return name == m.vector })
		m.layout.Raw = []string{m.vector}
	}
	return m, nil
}

// check compares the settings with the projection's columns.
func (m *model) check(r *settings.Reader, t backends.Target) {
	for i, name := range m.text {
		m.inDocument(r, t, "text", name)
		if slices.Contains(m.text[:i], name) {
			r.Fail("text", fmt.Sprintf("names column %q twice", name))
		}
	}
	if !languageName.MatchString(m.language) {
		r.Fail("language", "must be simple or a language of PostgreSQL's text search, such as english")
	}
	m.inDocument(r, t, "edge.from", m.edge.from)
	m.inDocument(r, t, "edge.to", m.edge.to)
	m.inDocument(r, t, "edge.type", m.edge.typ)
	if m.vector == "" {
		if m.dimensions != 0 {
			r.Fail("dimensions", "goes with the setting vector only")
		}
		return
	}
	if c, ok := find(r, t, "vector", m.vector); ok && c.Type != "real[]" {
		r.Fail("vector", fmt.Sprintf("names column %q of type %s: want real[], so cast it in the query", m.vector, c.Type))
	}
}

// inDocument checks a setting that names a column of the document.
func (m *model) inDocument(r *settings.Reader, t backends.Target, setting, name string) {
	if name == "" {
		return
	}
	if _, ok := find(r, t, setting, name); ok && name == m.vector {
		r.Fail(setting, fmt.Sprintf("names column %q, which is the vector", name))
	}
}

func find(r *settings.Reader, t backends.Target, setting, name string) (backends.Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c backends.Column) bool { return c.Name == name })
	if i < 0 {
		r.Fail(setting, fmt.Sprintf("names column %q, which the projection does not yield: have %s", name, columnNames(t)))
		return backends.Column{}, false
	}
	return t.Columns[i], true
}

func columnNames(t backends.Target) string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// indexName names one of the target's indexes. It does not hold the target's name, which may be too long.
func (m *model) indexName(purpose string) string {
	sum := sha256.Sum256([]byte(m.name))
	return reserved + "_" + hex.EncodeToString(sum[:8]) + "_" + purpose
}
