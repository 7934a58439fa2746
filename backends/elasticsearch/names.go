package elasticsearch

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/outflow-db/outflow/backends"
)

// names are what a target is called in the store. "@" is ours: no target has it in its name.
type names struct {
	alias string // what readers use
	index string // the generation
	write string // an alias of the generation through which it is written, so that a missing index is not made by chance
}

var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// validName says whether an alias may be called so: fewer characters than the server takes, so that every tool can
// show it, and room for a generation.
func validName(s string) bool {
	return len(s) <= 200 && indexName.MatchString(s) && !strings.Contains(s, "..")
}

func (b *backend) names(t backends.Target) (names, error) {
	alias := b.prefix + t.Name
	if !validName(alias) {
		e := b.failFor("layout", t, backends.Rejected, fmt.Errorf("target %q cannot be an index: want small letters, digits, . _ and -, beginning with a letter or digit, up to 200", t.Name))
		e.Advice = "give the projection another target"
		return names{}, e
	}
	index := generation(alias, t.Generation)
	return names{alias: alias, index: index, write: index + "-write"}, nil
}

// generation is the index of a generation, which counts from 1.
func generation(alias string, n int) string { return fmt.Sprintf("%s@%d", alias, max(n, 1)) }
