package main

import (
	"fmt"
	"slices"
	"strings"
)

// feature is a file of scenarios.
type feature struct {
	path      string
	scenarios []scenario
}

// scenario is a list of steps, with those of the background before them. Outlines are unfolded.
type scenario struct {
	name    string
	skipped bool // by its own tag
	steps   []step
}

// step is a line without its first word, and what hangs on it.
type step struct {
	line  int
	text  string
	doc   string
	table [][]string
}

// reader goes through the lines of a file.
type reader struct {
	lines []string
	pos   int
}

// readFeature reads Gherkin as far as these scenarios use it: one feature, a background, scenarios and outlines with
// examples, tags, comments, tables and doc strings.
func readFeature(path, text string) (feature, error) {
	f, r := feature{path: path}, &reader{lines: strings.Split(text, "\n")}
	var background []step
	skip := false
	for r.pos < len(r.lines) {
		line := strings.TrimSpace(r.lines[r.pos])
		r.pos++
		head, rest, _ := strings.Cut(line, ":")
		switch {
		case line == "" || line[0] == '#' || head == "Feature" || head == "Rule":
		case line[0] == '@':
			skip = strings.Contains(line, "@skip")
		case head == "Background":
			background = r.steps()
		case head == "Scenario", head == "Scenario Outline", head == "Scenario Template", head == "Example":
			s := scenario{name: strings.TrimSpace(rest), skipped: skip, steps: append(slices.Clip(background), r.steps()...)}
			skip = false
			f.scenarios = append(f.scenarios, r.unfold(s)...)
		default:
			return f, fmt.Errorf("%s:%d: neither a scenario nor anything of it: %s", path, r.pos, line)
		}
	}
	return f, nil
}

var stepWords = []string{"Given ", "When ", "Then ", "And ", "But ", "* "}

// steps reads up to the first line that is none.
func (r *reader) steps() []step {
	var all []step
	for ; r.pos < len(r.lines); r.pos++ {
		line := strings.TrimSpace(r.lines[r.pos])
		switch {
		case line == "" || line[0] == '#':
			continue
		case line == `"""`:
			all[len(all)-1].doc = r.doc()
			continue
		case line[0] == '|':
			last := &all[len(all)-1]
			last.table = append(last.table, cellsOf(line))
			continue
		}
		i := startsWith(line, stepWords)
		if i < 0 {
			return all
		}
		all = append(all, step{line: r.pos + 1, text: strings.TrimSpace(line[len(stepWords[i]):])})
	}
	return all
}

func startsWith(line string, words []string) int {
	for i, w := range words {
		if strings.HasPrefix(line, w) {
			return i
		}
	}
	return -1
}

// doc reads a doc string and leaves the reader at its end.
func (r *reader) doc() string {
	var lines []string
	for r.pos++; r.pos < len(r.lines) && strings.TrimSpace(r.lines[r.pos]) != `"""`; r.pos++ {
		lines = append(lines, r.lines[r.pos])
	}
	return strings.Join(lines, "\n")
}

// cellsOf cuts a line of a table; \| is a bar in a cell, \\ a backslash, \n a line break.
func cellsOf(line string) []string {
	var cells []string
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line) && strings.IndexByte(`|\n`, line[i+1]) >= 0:
			i++
			if line[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(line[i])
			}
		case line[i] == '|':
			cells = append(cells, strings.Trim(b.String(), " \t"))
			b.Reset()
		default:
			b.WriteByte(line[i])
		}
	}
	return cells
}

// unfold makes a scenario of every row of the examples that follow.
func (r *reader) unfold(s scenario) []scenario {
	var all []scenario
	for r.pos < len(r.lines) {
		line := strings.TrimSpace(r.lines[r.pos])
		if line != "" && line[0] != '#' && !strings.HasPrefix(line, "Examples:") && !strings.HasPrefix(line, "Scenarios:") {
			break
		}
		r.pos++
		if line == "" || line[0] == '#' {
			continue
		}
		table := r.examples()
		for _, row := range table[min(1, len(table)):] {
			all = append(all, s.with(table[0], row))
		}
	}
	if all == nil {
		return []scenario{s}
	}
	return all
}

func (r *reader) examples() [][]string {
	var table [][]string
	for ; r.pos < len(r.lines); r.pos++ {
		line := strings.TrimSpace(r.lines[r.pos])
		if line != "" && line[0] == '|' {
			table = append(table, cellsOf(line))
		} else if line != "" && line[0] != '#' {
			break
		}
	}
	return table
}

// with replaces <names> by values.
func (s scenario) with(names, values []string) scenario {
	var pairs []string
	for i, n := range names {
		pairs = append(pairs, "<"+n+">", values[i])
	}
	in := strings.NewReplacer(pairs...)
	out := scenario{name: in.Replace(s.name), skipped: s.skipped}
	for _, st := range s.steps {
		c := step{line: st.line, text: in.Replace(st.text), doc: in.Replace(st.doc)}
		for _, row := range st.table {
			var cells []string
			for _, cell := range row {
				cells = append(cells, in.Replace(cell))
			}
			c.table = append(c.table, cells)
		}
		out.steps = append(out.steps, c)
	}
	return out
}
