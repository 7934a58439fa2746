// Command gosource writes the Go files below a directory as NDJSON, for `outflow load`:
//
//	go run ./examples/gosource /path > files.ndjson
//	go run ./examples/gosource -repository go "$(go env GOROOT)/src" | outflow load -
//
// Files that cannot be parsed are named on standard error and left out; the exit status is then 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/outflow-db/outflow/ast"
	"github.com/outflow-db/outflow/examples/gosource/gosource"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the command, with its exit status.
func run(ctx context.Context, args []string, out, messages io.Writer) int {
	flags := flag.NewFlagSet("gosource", flag.ContinueOnError)
	flags.SetOutput(messages)
	var o gosource.Options
	flags.StringVar(&o.Repository, "repository", "", "name of the repository; default: the directory's name")
	flags.IntVar(&o.Max, "max", 0, "at most so many files; 0: all")
	flags.BoolVar(&o.Content, "content", false, "include the text of the files")
	flags.BoolVar(&o.NoEmbeddings, "no-embeddings", false, "leave the embeddings out")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(messages, "usage: gosource [flags] DIRECTORY > files.ndjson")
		flags.PrintDefaults()
		return 2
	}
	bad, err := ast.WriteNDJSON(out, gosource.Files(ctx, filepath.Clean(flags.Arg(0)), o))
	for _, b := range bad {
		fmt.Fprintln(messages, b)
	}
	if err != nil {
		fmt.Fprintln(messages, err)
	}
	if err != nil || len(bad) > 0 {
		return 1
	}
	return 0
}
