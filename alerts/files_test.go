package alerts

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// Every alert has an entry in the runbook that says what it means, how to look, what to do and when it is over; and every
// entry is that of an alert.
func TestRunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]string{}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		entries[name] = body
	}
	want := slices.Sorted(slices.Values(PrometheusNames()))
	if d := cmp.Diff(want, slices.Sorted(maps.Keys(entries))); d != "" {
		t.Errorf("(-alerts +runbook) %s", d)
	}
	for name, body := range entries {
		for _, part := range []string{"**Means.**", "**Look.**", "**Do.**", "**Over**"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s lacks %s", name, part)
			}
		}
	}
}

// The rules that the project shows are those of the program's defaults: outflow alerts rules writes them anew.
func TestPrometheusRulesAreUpToDate(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../examples/prometheus/outflow.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(PrometheusRules(Settings{})), string(text)); d != "" {
		t.Error(d)
	}
}

// The file is YAML as Prometheus wants it: each rule has its fields and no others, an expression whose parentheses match
// and that mentions a metric, a severity, and the entry of the runbook with its name. Rules that are off are not there.
func TestPrometheusRules(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(PrometheusRules(Settings{Off: []string{LogLarge}, Runbook: "https://wiki/x"})))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range file.Groups[0].Rules {
		names = append(names, r.Labels["rule"])
		if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") || !strings.Contains(r.Expr, "outflow_") || strings.Contains(r.Expr, "%!") {
			t.Errorf("%s: %s", r.Alert, r.Expr)
		}
		if !regexp.MustCompile(`^\d+s$`).MatchString(r.For) || !regexp.MustCompile(`^Outflow[A-Za-z]+$`).MatchString(r.Alert) || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%+v", r)
		}
		if r.Annotations["runbook_url"] != "https://wiki/x#"+r.Labels["rule"] || r.Annotations["summary"] == "" || r.Annotations["advice"] == "" {
			t.Errorf("%s: %v", r.Alert, r.Annotations)
		}
	}
	want := slices.DeleteFunc(PrometheusNames(), func(n string) bool { return n == LogLarge })
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}
