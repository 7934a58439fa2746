package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// dataset is the config.yaml of data to load, as far as it is used.
type dataset struct {
	Space struct {
		PartitionNum  int    `yaml:"partitionNum"`
		ReplicaFactor int    `yaml:"replicaFactor"`
		VidType       string `yaml:"vidType"`
	} `yaml:"space"`
	Schema string     `yaml:"schema"`
	Files  []dataFile `yaml:"files"`
}

type dataFile struct {
	Path   string
	Vertex struct {
		VID  field `yaml:"vid"`
		Tags []struct {
			Name  string
			Props []field
		}
	}
	Edge struct {
		Name   string
		SrcVID field `yaml:"srcVID"`
		DstVID field `yaml:"dstVID"`
		Rank   *field
		Props  []field
	}
}

type field struct {
	Name, Type, Function string
	Index                int
}

// intVids ends the names of data whose ids are the hashes of the strings.
const intVids = "_int_vid"

// load makes a new space of data. What is not there with integers as ids is made of what has strings.
func (w *world) load(name string) error {
	dir, hashed := filepath.Join(w.t.data, name), false
	if _, err := os.Stat(dir); err != nil && strings.HasSuffix(name, intVids) {
		dir, hashed = filepath.Join(w.t.data, strings.TrimSuffix(name, intVids)), true
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return skip{"no data to load: " + err.Error()}
	}
	var d dataset
	if err := yaml.Unmarshal(raw, &d); err != nil {
		return err
	}
	if hashed {
		d.hash()
	}
	w.t.spaces++
	w.space, w.borrowed = fmt.Sprintf("data_%d", w.t.spaces), false
	if err := w.setUp(fmt.Sprintf("CREATE SPACE %s (partition_num = %d, replica_factor = %d, vid_type = %s)",
		w.space, d.Space.PartitionNum, d.Space.ReplicaFactor, d.Space.VidType)); err != nil {
		return err
	}
	if err := w.must(d.Schema); err != nil {
		return err
	}
	for _, f := range d.Files {
		rows, err := readCSV(filepath.Join(dir, f.Path))
		if err != nil {
			return err
		}
		if err := w.must(f.insert(rows)); err != nil {
			return fmt.Errorf("loading %s: %w", f.Path, err)
		}
	}
	return nil
}

// hash makes integers of the ids.
func (d *dataset) hash() {
	d.Space.VidType = "INT64"
	for i := range d.Files {
		f := &d.Files[i]
		f.Vertex.VID.Function, f.Edge.SrcVID.Function, f.Edge.DstVID.Function = "hash", "hash", "hash"
	}
}

func (w *world) must(stmt string) error {
	if err := w.query(stmt, true); err != nil {
		return err
	}
	return w.successful()
}

func readCSV(path string) ([][]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[1:], nil
}

func (f field) literal(row []string) string {
	if f.Function != "" {
		return f.Function + "(" + strconv.Quote(row[f.Index]) + ")"
	}
	if f.Type == "string" {
		return strconv.Quote(row[f.Index])
	}
	return row[f.Index]
}

// insert is one statement for all rows of a file.
func (f *dataFile) insert(rows [][]string) string {
	var b strings.Builder
	var props []field
	if f.Edge.Name != "" {
		props = f.Edge.Props
		b.WriteString("INSERT EDGE " + f.Edge.Name + "(" + fieldNames(props) + ") VALUES ")
	} else {
		b.WriteString("INSERT VERTEX ")
		for i, t := range f.Vertex.Tags {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(t.Name + "(" + fieldNames(t.Props) + ")")
			props = append(props, t.Props...)
		}
		b.WriteString(" VALUES ")
	}
	for i, row := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.key(row) + ":(")
		for j, p := range props {
			if j > 0 {
				b.WriteString(", ")
			}
			b.WriteString(p.literal(row))
		}
		b.WriteString(")")
	}
	return b.String()
}

func (f *dataFile) key(row []string) string {
	if f.Edge.Name == "" {
		return f.Vertex.VID.literal(row)
	}
	key := f.Edge.SrcVID.literal(row) + "->" + f.Edge.DstVID.literal(row)
	if f.Edge.Rank != nil {
		key += "@" + row[f.Edge.Rank.Index]
	}
	return key
}

func fieldNames(fs []field) string {
	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// shared uses the space of data that scenarios only read.
func (w *world) share(name string) error {
	if w.t.shared[name] == "" {
		if err := w.load(name); err != nil {
			return err
		}
		w.t.shared[name] = w.space
	}
	w.space, w.borrowed = w.t.shared[name], true
	return w.must("USE " + w.space)
}

// setParams takes parameters as JSON; whole numbers are integers.
func (w *world) setParams(text string) error {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return fmt.Errorf("reading parameters: %w", err)
	}
	w.params = map[string]*nebula.Value{}
	for k, v := range m {
		w.params[k] = value.ToWire(fromJSON(v))
	}
	return nil
}

func fromJSON(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v.String())
	case []any:
		l := make(value.List, len(v))
		for i, x := range v {
			l[i] = fromJSON(x)
		}
		return l
	case map[string]any:
		m := value.Map{}
		for k, x := range v {
			m[k] = fromJSON(x)
		}
		return m
	case nil:
		return value.NULL
	}
	return v
}
