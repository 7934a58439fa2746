package qdrantserver

import (
	"strconv"
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
)

// path leads to values in a payload: a.b, a[].b, a[0], "a.b".c.
type path []step

// step is a name, or a place in a list; all of them for every.
type step struct {
	name  string
	index int
	kind  stepKind
}

type stepKind int

const (
	byName stepKind = iota
	byIndex
	every
)

// parsePath reads a path as the server does.
func parsePath(text string) (path, error) {
	var p path
	rest := text
	for {
		name, after, ok := pathName(rest)
		if !ok {
			return nil, malformed("Invalid json path: '%s'", text)
		}
		p = append(p, step{name: name})
		for strings.HasPrefix(after, "[") {
			inside, behind, closed := strings.Cut(after[1:], "]")
			s, ok := listStep(inside)
			if !closed || !ok {
				return nil, malformed("Invalid json path: '%s'", text)
			}
			p, after = append(p, s), behind
		}
		if after == "" {
			return p, nil
		}
		if rest, ok = strings.CutPrefix(after, "."); !ok {
			return nil, malformed("Invalid json path: '%s'", text)
		}
	}
}

func listStep(inside string) (step, bool) {
	if inside == "" {
		return step{kind: every}, true
	}
	n, err := strconv.Atoi(inside)
	return step{kind: byIndex, index: n}, err == nil && n >= 0
}

// pathName reads a name, which may be quoted, and what is behind it.
func pathName(text string) (name, rest string, ok bool) {
	if quoted, found := strings.CutPrefix(text, `"`); found {
		return strings.Cut(quoted, `"`)
	}
	end := strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r <= 0x7f
	})
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:], end > 0
}

// values are those that the path leads to.
func (p path) values(object map[string]*pb.Value) []*pb.Value {
	v := object[p[0].name]
	if v == nil {
		return nil
	}
	values := []*pb.Value{v}
	for _, s := range p[1:] {
		var next []*pb.Value
		for _, v := range values {
			next = append(next, s.of(v)...)
		}
		values = next
	}
	return values
}

func (s step) of(v *pb.Value) []*pb.Value {
	list := v.GetListValue().GetValues()
	switch s.kind {
	case byName:
		if next := v.GetStructValue().GetFields()[s.name]; next != nil {
			return []*pb.Value{next}
		}
	case byIndex:
		if s.index < len(list) {
			return list[s.index : s.index+1]
		}
	case every:
		return list
	}
	return nil
}
