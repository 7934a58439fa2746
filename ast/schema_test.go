package ast

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// compiled is the schema of a line.
func compiled(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// The schema takes every good file as WriteNDJSON writes it.
func TestSchemaTakesGoodFiles(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	rapid.Check(t, func(t *rapid.T) {
		var line bytes.Buffer
		if _, err := WriteNDJSON(&line, these(goodFile("a.go").Draw(t, "file"))); err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(&line)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Fatal(err)
		}
	})
}

// What the schema refuses, the loader refuses too: each line has one mistake.
func TestSchemaAndLoaderAgree(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	symbol := func(s string) string { return `{"repository": "r", "path": "p", "symbols": [{` + s + `}]}` }
	embedding := func(s string) string {
		return symbol(`"kind": "type", "name": "T", "qualified": "T", "embeddings": [{` + s + `}]`)
	}
	relation := func(s string) string { return `{"repository": "r", "path": "p", "relations": [{` + s + `}]}` }
	for _, line := range []string{
		`{}`, `[]`, `{"repository": "r"}`, `{"repository": "", "path": "p"}`, `{"repository": "r", "path": "p\u0000"}`,
		`{"repository": "r", "path": "p", "version": 2}`, `{"repository": "r", "path": "p", "more": 1}`,
		`{"repository": "r", "path": "p", "bytes": -1}`, `{"repository": "r", "path": "p", "lines": 2147483648}`,
		`{"repository": "r", "path": "` + strings.Repeat("p", 1501) + `"}`,
		symbol(`"kind": "Type", "name": "T", "qualified": "T"`), symbol(`"kind": "type", "name": "", "qualified": "T"`),
		symbol(`"kind": "type", "name": "T"`), symbol(`"kind": "type", "name": "T", "qualified": "T", "x": 1`),
		symbol(`"kind": "type", "name": "T", "qualified": "T", "ordinal": -1`),
		embedding(`"model": "m", "vector": []`), embedding(`"model": "", "vector": [1]`), embedding(`"model": "m", "vector": [1e39]`),
		relation(`"type": "is it"`), relation(`"type": "calls", "source": 1`), relation(`"type": "calls", "target": {"file": "x"}`),
	} {
		var doc any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("the schema takes %.100s", line)
		}
		for f, err := range ReadNDJSON(strings.NewReader(line)) {
			if err == nil {
				if _, bad := check(f, map[string]int{}); bad == nil {
					t.Errorf("the loader takes %.100s", line)
				}
			}
		}
	}
}
