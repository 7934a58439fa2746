package lab

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/config"
	"github.com/outflow-db/outflow/examples/gosource/gosource"
	"github.com/outflow-db/outflow/jobs"
	"github.com/outflow-db/outflow/outbox"
)

// GoTree is the directory of Go's own source code on this machine.
func GoTree(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its source code: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src"), nil
}

// Files yields at most so many files of the lab's source code, 0 for all. A file that does not parse is left out.
func (l *Lab) Files(ctx context.Context, most int, o gosource.Options) iter.Seq2[*ast.SourceFile, error] {
	o.Repository, o.Max = "go", most
	return func(yield func(*ast.SourceFile, error) bool) {
		for f, err := range gosource.Files(ctx, l.Source, o) {
			if _, bad := errors.AsType[*ast.BadFile](err); bad {
				continue
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

const symbols = `select s.id::text as key, s.qualified, s.name, s.kind, s.signature, s.doc, s.line_start, f.path
  from ast.symbols s join ast.files f on f.id = s.file_id where `

// AllSymbols is the query of Symbols without its condition; $1 is an empty array.
const AllSymbols = symbols + `$1::text[] is not null`

// SymbolKind watches symbols.
var SymbolKind = outbox.Kind{Name: "symbol", Table: "ast.symbols"}

// Symbols is the projection of symbols into a backend, for search.
func Symbols(backend string) jobs.Projection {
	return jobs.Projection{
		Kind: SymbolKind.Name, Backend: backend, Target: "symbols", Query: symbols + `s.id = any($1::text[]::uuid[])`,
		Settings: map[string]any{"text": []any{"qualified", "doc"}},
	}
}

// Model is the ready-made model of source code as the demo projects it: its kinds, and their projections by kind.
func (l *Lab) Model() ([]outbox.Kind, map[string]jobs.Projection, error) {
	c, err := config.Parse("the model's configuration", ast.Config, func(name string) (string, bool) {
		return l.Server.URL("postgres"), name == "DATABASE_URL" // it must have one, and is not used
	})
	if err != nil {
		return nil, nil, err
	}
	j := c.Jobs(nil, nil)
	byKind := map[string]jobs.Projection{}
	for _, p := range j.Projections {
		byKind[p.Kind] = p
	}
	return j.Kinds, byKind, nil
}
