package postgres

import (
	"fmt"
	"strings"

	"github.com/outflow-db/outflow/backends"
)

// batch is what one statement writes: a column is one array.
type batch struct {
	model                                   *model
	places                                  []int // in the records, of those that are sent
	keys, versions, deleted, bodies         *array
	words, elements, begins, lengths, signs *array
	at                                      int // elements so far
	index                                   index
}

func newBatch(m *model, n int) *batch {
	b := &batch{
		model: m,
		keys:  newArray(oidText, 32*n), versions: newArray(oidInt8, 12*n),
		deleted: newArray(oidBool, 5*n), bodies: newArray(oidText, 256*n),
	}
	if len(m.text) > 0 {
		b.words = newArray(oidTSVector, 256*n)
	}
	if m.vector != "" {
		b.elements, b.begins, b.lengths = newArray(oidFloat4, 0), newArray(oidInt4, 8*n), newArray(oidInt4, 8*n)
		b.signs = newArray(oidVarbit, 0)
	}
	return b
}

// add takes a record in, whole or not at all.
func (b *batch) add(r backends.Record) error {
	if b.model.vector != "" {
		if err := b.addVector(r); err != nil {
			return err
		}
	}
	if b.words != nil {
		if err := b.addWords(r); err != nil {
			return err
		}
	}
	b.keys.text(r.Key)
	b.versions.int8(r.Version)
	b.deleted.bool(r.Deleted)
	if r.Doc == nil {
		b.bodies.null()
	} else {
		b.bodies.bytes(r.Doc)
	}
	return nil
}

func (b *batch) addVector(r backends.Record) error {
	if r.Deleted || len(r.Raw) == 0 || r.Raw[0] == nil {
		b.begins.null()
		b.lengths.null()
		b.signs.null()
		return nil
	}
	e, err := parseEmbedding(r.Raw[0])
	if err != nil {
		return fmt.Errorf("vector %s: %w", b.model.vector, err)
	}
	if want := b.model.dimensions; want != 0 && e.n != want {
		return fmt.Errorf("vector %s: it has %d elements: want %d", b.model.vector, e.n, want)
	}
	b.begins.int4(b.at + 1)
	b.lengths.int4(e.n)
	b.elements.elements(e.elements, e.n)
	b.at += e.n
	if e.norm == 0 {
		b.signs.null()
	} else {
		b.signs.bytes(e.signs())
	}
	return nil
}

func (b *batch) addWords(r backends.Record) error {
	if r.Deleted {
		b.words.null()
		return nil
	}
	if err := b.model.index(&b.index, r.Doc); err != nil {
		return err
	}
	b.words.append(b.index.encode)
	return nil
}

// parameters are the columns for ExecParams, in the order of statement's $1, $2 and so on.
func (b *batch) parameters() (values [][]byte, oids []uint32, formats []int16) {
	add := func(oid uint32, a *array) {
		if a != nil {
			values, oids, formats = append(values, a.encode()), append(oids, oid), append(formats, 1)
		}
	}
	add(oidTexts, b.keys)
	add(oidInt8s, b.versions)
	add(oidBools, b.deleted)
	add(oidTexts, b.bodies)
	add(oidTSVectors, b.words)
	add(oidInt4s, b.begins)
	add(oidInt4s, b.lengths)
	add(oidVarbits, b.signs)
	add(oidFloat4s, b.elements)
	return values, oids, formats
}

// statement writes a batch. Rows come in the order of the arrays, which is that of the keys, so that two
// writers lock them in the same order. The vectors of a batch are one array, of which each row takes its
// part. Who has set synchronous_commit off, for the role or the database, would lose acknowledged records
// in a crash: it is raised for this statement, and nothing else is changed.
func (m *model) statement() string {
	columns := []string{"version", "deleted_at", "body"}
	values := []string{"r.version", "case when r.deleted then clock_timestamp() end", "r.body::jsonb"}
	arrays, names := []string{"$1", "$2", "$3", "$4"}, []string{"key", "version", "deleted", "body"}
	array := func(name string) {
		arrays, names = append(arrays, fmt.Sprintf("$%d", len(arrays)+1)), append(names, name)
	}
	if len(m.text) > 0 {
		array("words")
		columns, values = append(columns, "words"), append(values, "r.words")
	}
	if m.vector != "" {
		array("first")
		array("n")
		array("signs")
		columns = append(columns, "vector", "signs")
		values = append(values, fmt.Sprintf("($%d)[r.first : r.first + r.n - 1]", len(arrays)+1), "r.signs")
	}
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c + " = excluded." + c
	}
	return "insert into " + m.table + " as t (key, " + strings.Join(columns, ", ") + ")\n" +
		"select r.key, " + strings.Join(values, ", ") + "\n" +
		"from (select case current_setting('synchronous_commit') when 'off' then set_config('synchronous_commit', 'on', true) end) durable,\n" +
		"unnest(" + strings.Join(arrays, ", ") + ") r(" + strings.Join(names, ", ") + ")\n" +
		"on conflict (key) do update set " + strings.Join(sets, ", ") + "\n" +
		"where t.version <= excluded.version"
}
