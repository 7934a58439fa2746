package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// versionTimeout bounds the question for PostgreSQL's version, which is a courtesy.
const versionTimeout = 2 * time.Second

func (a *app) version() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tells the versions of Outflow, Go and PostgreSQL",
		Long: `Tells what this program was built from, and the version of the PostgreSQL that is
configured, if it can be reached soon.

With --json the output is {"outflow", "commit", "built_from_changed_files", "go",
"platform", "postgresql"}, where postgresql is null if there is none.`,
		Example:     "  outflow version\n  outflow version --json",
		Annotations: exits(map[int]string{exitNotWell: "", exitUnreachable: "", exitUsage: "the command line is wrong"}),
		Args:        noArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.runVersion(cmd.Context(), json) },
	}
	cmd.Flags().BoolVar(&json, "json", false, "write JSON")
	return cmd
}

// versions is what version tells, as --json shows it.
type versions struct {
	Outflow    string  `json:"outflow"`
	Commit     string  `json:"commit"`
	Changed    bool    `json:"built_from_changed_files"`
	Go         string  `json:"go"`
	Platform   string  `json:"platform"`
	PostgreSQL *string `json:"postgresql"`
}

func (a *app) runVersion(ctx context.Context, json bool) error {
	v := built()
	v.PostgreSQL = a.serverVersion(ctx)
	if json {
		return a.writeJSON(v)
	}
	fmt.Fprintf(a.out, "outflow %s", v.Outflow)
	if v.Commit != "" {
		fmt.Fprintf(a.out, ", commit %s", v.Commit)
	}
	if v.Changed {
		fmt.Fprint(a.out, " with changed files")
	}
	fmt.Fprintf(a.out, "\n%s %s\n", v.Go, v.Platform)
	if v.PostgreSQL != nil {
		fmt.Fprintf(a.out, "PostgreSQL %s\n", *v.PostgreSQL)
	}
	return nil
}

// built is what the program says about itself.
func built() versions {
	v := versions{Outflow: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Outflow = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Changed = s.Value == "true"
		}
	}
	return v
}

// serverVersion is PostgreSQL's version, or nil if it cannot be had soon, for whatever reason.
func (a *app) serverVersion(ctx context.Context) *string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	_, pool, err := a.connect(ctx, 0)
	if err != nil {
		return nil
	}
	defer pool.Close()
	var version string
	if err := pool.QueryRow(ctx, "show server_version").Scan(&version); err != nil {
		return nil
	}
	return &version
}
