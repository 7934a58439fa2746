package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/outflow-db/outflow/config"
)

// The configuration that the README shows is right, and so is every verb that it names.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return "postgres://localhost/shop", name == "DATABASE_URL" }
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Error("no configuration is shown")
	}
	for _, block := range blocks {
		if _, err := config.Parse("README.md", block[1], env); err != nil {
			t.Error(err)
		}
	}
	verbs := map[string]bool{"VERB": true}
	for _, name := range verbNames((&app{}).verbs()) {
		verbs[name] = true
	}
	for _, m := range regexp.MustCompile("(?m)(?:^    |`)outflow ([A-Za-z]+)").FindAllSubmatch(text, -1) {
		if !verbs[string(m[1])] {
			t.Errorf("there is no outflow %s", m[1])
		}
	}
}
