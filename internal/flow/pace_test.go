package flow_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/internal/flow"
)

var bounds = flow.Bounds{Least: 100, First: 1000, Most: 4000, Fast: time.Second, Slow: 3 * time.Second}

// A pace follows what the store bears.
func TestPace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then func(*flow.Pace)
		want int
	}{
		"at first":                  {func(*flow.Pace) {}, 1000},
		"fast and full":             {func(p *flow.Pace) { p.Took(900, time.Second) }, 1500},
		"fast and not full":         {func(p *flow.Pace) { p.Took(400, time.Second) }, 1000},
		"neither fast nor slow":     {func(p *flow.Pace) { p.Took(900, 2*time.Second) }, 1000},
		"slow":                      {func(p *flow.Pace) { p.Took(900, 3*time.Second) }, 750},
		"too much":                  {func(p *flow.Pace) { p.Refused(1000) }, 500},
		"less than it may, refused": {func(p *flow.Pace) { p.Refused(600) }, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := flow.NewPace(bounds)
			c.then(p)
			if got := p.Most(); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// Whatever happens, a pace keeps its bounds.
func TestPaceKeepsItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := flow.NewPace(bounds)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			size := rapid.IntRange(0, 9000).Draw(t, "size")
			if rapid.Bool().Draw(t, "refused") {
				p.Refused(size)
			} else {
				p.Took(size, time.Duration(rapid.IntRange(0, 5).Draw(t, "seconds"))*time.Second)
			}
			if got := p.Most(); got < bounds.Least || got > bounds.Most {
				t.Fatalf("%d is out of bounds", got)
			}
		}
	})
}
