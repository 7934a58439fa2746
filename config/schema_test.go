package config

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// own are the types of backends that the command knows.
var own = []string{"elasticsearch", "nebula", "postgres", "qdrant"}

// The committed schema is the one of the reader; go test -update writes it anew.
func TestSchemaIsUpToDate(t *testing.T) {
	t.Parallel()
	golden(t, "outflow.schema.json", string(schemaFor(own)))
}

// The schema has exactly the fields that the reader knows, in every mapping of the file.
func TestSchemaHasTheFieldsOfTheReader(t *testing.T) {
	t.Parallel()
	root := schema(own)
	properties := func(o any) object { return o.(object)["properties"].(object) }
	all := properties(root)
	for text, part := range map[string]object{
		"?: 1":                               all,
		"log: {?: 1}":                        properties(all["log"]),
		"worker: {?: 1}":                     properties(all["worker"]),
		"console: {?: 1}":                    properties(all["console"]),
		"alerts: {?: 1}":                     properties(all["alerts"]),
		"alerts: {webhooks: [{?: 1}]}":       properties(properties(all["alerts"])["webhooks"].(object)["items"]),
		"kinds: {k: {?: 1}}":                 properties(all["kinds"].(object)["additionalProperties"]),
		"backends: {b: {type: store, ?: 1}}": properties(all["backends"].(object)["additionalProperties"]),
		"projections: [{?: 1}]":              properties(all["projections"].(object)["items"]),
	} {
		_, err := Parse("c.yaml", []byte(strings.Replace(text, "?", "unknown_field", 1)), someDatabase)
		m := regexp.MustCompile(`unknown field "unknown_field": want (.*)`).FindStringSubmatch(err.Error())
		if m == nil {
			t.Fatalf("%s: %v", text, err)
		}
		if d := cmp.Diff(strings.Split(m[1], ", "), slices.Sorted(maps.Keys(part))); d != "" {
			t.Errorf("%s (-reader +schema): %s", text, d)
		}
	}
}

// compiled is the schema, ready to validate.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaFor(own)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate is what the schema says of a text.
func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return err
	}
	if v == nil {
		return nil
	}
	return s.Validate(v)
}

// Configurations that the project shows are valid.
func TestSchemaTakesWhatIsShown(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	text, err := os.ReadFile("../ast/outflow.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]byte{"ast/outflow.yaml": text}
	for _, page := range []string{"../README.md", "../docs/configuration.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1) {
			shown[page+": "+string(block[1])] = block[1]
		}
	}
	for name, text := range shown {
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the reader refuses for its form, the schema refuses as well. The others need more than the form of a value:
// what a name refers to, what the environment has, what is there twice.
func TestSchemaRefusesWhatIsBroken(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	onlyReader := []string{
		"backend-type", "database", "dependant-circle", "dependant-unknown", "document-second", "environment", "file-missing",
		"projection-kind", "projection-target-twice", "reference-open", "table-twice", "verify-every",
	}
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if err := validate(t, s, text); (err == nil) != slices.Contains(onlyReader, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
