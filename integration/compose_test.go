package integration_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// compose is what the tests look at in compose.yaml.
type compose struct {
	Services map[string]struct {
		Image       string
		Profiles    []string
		Ports       []string
		Volumes     []string
		Restart     string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck struct {
			Test []string
		}
	}
	Volumes map[string]any
}

func readCompose(t *testing.T) compose {
	t.Helper()
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Every service of compose.yaml is pinned, has a health check, keeps to this machine, and refers only to
// what is there.
func TestComposeServices(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		if _, tag, _ := strings.Cut(s.Image, ":"); tag == "" || tag == "latest" {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		if len(s.Healthcheck.Test) < 2 || s.Restart == "" {
			t.Errorf("%s: has no health check or no restart policy", name)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other machines", name, port)
			}
		}
		for _, volume := range s.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s: volume %s is not declared", name, from)
			}
		}
		for other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s: depends on %s, which is not there", name, other)
			}
		}
	}
}

// Without a profile only PostgreSQL starts; with the profile all, every store.
func TestComposeProfiles(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		if name == "postgres" {
			if len(s.Profiles) > 0 {
				t.Error("postgres does not start by itself")
			}
		} else if !slices.Contains(s.Profiles, "all") || len(s.Profiles) < 2 {
			t.Errorf("%s: profiles are %v", name, s.Profiles)
		}
	}
	for _, store := range []string{"elasticsearch", "qdrant", "nebula-graphd"} {
		if len(c.Services[store].Ports) == 0 {
			t.Errorf("%s is not to be reached", store)
		}
	}
}
