package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

var raised = regexp.MustCompile(`^an? (\w+) should be raised at (?:runtime|compile time)(?:$|[.:])\s*(.*)$`)

// hashedColumns is for spaces whose ids are the hashes of what is written.
var hashedColumns = regexp.MustCompile(`and the columns? ([\d,]+) should be hashed`)

// check carries out a Then.
func (w *world) check(st step) error {
	text := st.text
	if m := raised.FindStringSubmatch(text); m != nil {
		return w.failed(m[1], m[2])
	}
	relaxed := strings.Contains(text, "with relax comparison")
	w.hashed = nil
	if m := hashedColumns.FindStringSubmatch(text); m != nil {
		w.hashed = strings.Split(m[1], ",")
	}
	switch {
	case strings.HasPrefix(text, "the execution should be successful"):
		return w.successful()
	case strings.HasPrefix(text, "the result should be, in any order"):
		return w.result(st.table, relaxed, false)
	case strings.HasPrefix(text, "the result should be, in order"):
		return w.result(st.table, relaxed, true)
	case strings.HasPrefix(text, "the result should contain"):
		return w.contains(st.table, relaxed)
	case strings.HasPrefix(text, "the result should not contain"):
		return w.lacks(st.table)
	case strings.HasPrefix(text, "the execution plan should be"):
		return skip{"plans of execution"}
	case strings.HasPrefix(text, "a string: "):
		w.cell = strings.TrimPrefix(text, "a string: ")
		return nil
	case text == "They are parsed as Nebula Value":
		return nil
	case strings.HasPrefix(text, "The type of the parsed value should be "):
		return w.parsed(strings.TrimPrefix(text, "The type of the parsed value should be "))
	}
	return skip{"step: " + text}
}

// failed expects an error, as the kit compares it: a message of graphd's begins with what is written, after the
// type unless it is an ExecutionError.
func (w *world) failed(kind, msg string) error {
	r := w.last
	if r.ErrorCode == nebula.ErrorCode_SUCCEEDED {
		return errors.New("it is successful")
	}
	got, want := string(r.ErrorMsg), strings.TrimSpace(msg)
	if r.ErrorCode == nebula.ErrorCode_E_EXECUTION_ERROR {
		if kind != "ExecutionError" {
			return fmt.Errorf("got an ExecutionError: %s", got)
		}
	} else {
		want = strings.TrimSpace(kind + ": " + want)
	}
	if !strings.HasPrefix(got, want) {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// expected reads a table; names and rows are empty if there is none.
func (w *world) expected(table [][]string) (names []string, rows [][]any, err error) {
	if len(table) == 0 {
		return nil, nil, nil
	}
	for _, row := range table[1:] {
		cells := make([]any, len(row))
		for i, c := range row {
			if cells[i], err = parseCell(c); err != nil {
				return nil, nil, skip{err.Error()}
			}
			if slices.Contains(w.hashed, strconv.Itoa(i)) {
				cells[i] = hash(cells[i])
			}
		}
		rows = append(rows, cells)
	}
	return table[0], rows, nil
}

// hash replaces strings by their hashes where ids can be: alone, in lists, in vertices and in edges.
func hash(v any) any {
	switch v := v.(type) {
	case string:
		return graph.Hash(v)
	case value.List:
		l := make(value.List, len(v))
		for i, x := range v {
			l[i] = hash(x)
		}
		return l
	case wantVertex:
		v.id = hash(v.id)
		return v
	case wantEdge:
		v.src, v.dst = hash(v.src), hash(v.dst)
		return v
	}
	return v
}

func (w *world) result(table [][]string, relaxed, ordered bool) error {
	if err := w.successful(); err != nil {
		return err
	}
	wantNames, want, err := w.expected(table)
	if err != nil {
		return err
	}
	names, got := w.rows()
	if !slices.Equal(names, wantNames) {
		return fmt.Errorf("got columns %q, want %q", names, wantNames)
	}
	if ordered {
		for i := range min(len(want), len(got)) {
			if !all(want[i], got[i], relaxed) {
				return fmt.Errorf("got row %s, want %v", value.Text(value.List(got[i])), table[i+1])
			}
		}
		if len(want) != len(got) {
			return fmt.Errorf("got %d rows, want %d", len(got), len(want))
		}
		return nil
	}
	missing, rest := unmatched(want, got, relaxed)
	if missing >= 0 {
		return fmt.Errorf("no row %v; there are %s", table[missing+1], show(rest))
	}
	if len(rest) > 0 {
		return fmt.Errorf("too many rows: %s", show(rest))
	}
	return nil
}

func show(rows [][]any) string {
	parts := make([]string, 0, 10)
	for _, r := range rows[:min(len(rows), 10)] {
		parts = append(parts, value.Text(value.List(r)))
	}
	return strings.Join(parts, " ")
}

func (w *world) contains(table [][]string, relaxed bool) error {
	if err := w.successful(); err != nil {
		return err
	}
	_, want, err := w.expected(table)
	if err != nil {
		return err
	}
	_, got := w.rows()
	if missing, rest := unmatched(want, got, relaxed); missing >= 0 {
		return fmt.Errorf("no row %v; there are %s", table[missing+1], show(rest))
	}
	return nil
}

func (w *world) lacks(table [][]string) error {
	if err := w.successful(); err != nil {
		return err
	}
	_, want, err := w.expected(table)
	if err != nil {
		return err
	}
	_, got := w.rows()
	for i, row := range want {
		if missing, _ := unmatched([][]any{row}, got, false); missing < 0 {
			return fmt.Errorf("there is a row %v", table[i+1])
		}
	}
	return nil
}

func (w *world) parsed(want string) error {
	if strings.HasPrefix(w.cell, "<") {
		return skip{"paths in cells"}
	}
	v, err := parseCell(w.cell)
	if err != nil {
		return err
	}
	if got := cellType(v); got != want {
		return fmt.Errorf("got %s, want %s", got, want)
	}
	return nil
}
