package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/outflow-db/outflow/config"
)

// help is the form of every help text.
const help = `{{with or .Long .Short}}{{trim .}}

{{end}}Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}}

Verbs:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every verb:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{with index .Annotations "exit"}}

Exit status:
{{.}}{{end}}{{if .HasAvailableSubCommands}}

Help for a verb: outflow VERB --help{{end}}
`

// Verbs are listed in the order in which a user meets them.
func init() { cobra.EnableCommandSorting = false }

// root is the command line: every verb, and the flags that all of them have.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "outflow VERB",
		Short: "Carries what changes in PostgreSQL into other stores",
		Long: `Outflow carries what changes in PostgreSQL into other stores, by a transactional outbox:
a write commits together with the log of what it changed, and workers bring each changed
record into every backend. PostgreSQL is the truth, and outflow verify proves that the
backends agree with it.

The configuration is the file that --config or OUTFLOW_CONFIG names, else ./outflow.yaml,
else a built-in one: the tables of schema ast, projected into the same database.`,
		Annotations: exits(nil),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q%s: see outflow --help", args[0], meant(cmd, args[0]))}
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetHelpTemplate(help)
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&a.file, "config", "", "configuration `FILE`")
	root.PersistentFlags().StringVar(&a.database, "database", "", "PostgreSQL's `URL`, instead of the configured one")
	root.AddCommand(a.verbs()...)
	return root
}

// verbs are all verbs, in the order in which a user meets them.
func (a *app) verbs() []*cobra.Command {
	return []*cobra.Command{a.migrate(), a.plan(), a.apply(), a.work(), a.load(), a.status(), a.health(), a.alerts(), a.wait(), a.verify(), a.rebuild(), a.lanes(), a.parked(), a.audit(), a.revert(), a.pause(), a.resume(), a.doctor(), a.demo(), a.man(), a.version()}
}

// meant is " (did you mean verb?)" for a misspelt verb.
func meant(cmd *cobra.Command, name string) string {
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(name); len(like) > 0 {
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(like, ", "))
	}
	return ""
}

// meanings of the exit statuses, where a verb has none of its own.
var meanings = map[int]string{
	exitOK:          "all is well",
	exitNotWell:     "it ran, and something is wrong: the output says what",
	exitUsage:       "the command line, the configuration or the set-up of the database is wrong",
	exitUnreachable: "PostgreSQL or a store cannot be reached, or lets nobody in",
	exitInterrupted: "interrupted by a signal",
}

// exits documents a verb's exit statuses: own tells some in its own words, an empty text leaves one out.
func exits(own map[int]string) map[string]string {
	var lines []string
	for _, s := range []int{exitOK, exitNotWell, exitUsage, exitUnreachable, exitChanges, exitInterrupted} {
		text, ok := own[s]
		if !ok {
			text = meanings[s]
		}
		if text != "" {
			lines = append(lines, fmt.Sprintf("  %3d  %s", s, text))
		}
	}
	return map[string]string{"exit": strings.Join(lines, "\n")}
}

// withPool is a verb's work on a database that is ready.
func (a *app) withPool(fn func(context.Context, *pgxpool.Pool, []string) error) func(*cobra.Command, []string) error {
	return a.withConfig(func(ctx context.Context, _ *config.Config, pool *pgxpool.Pool, args []string) error {
		return fn(ctx, pool, args)
	})
}

// withConfig is withPool for verbs that ask the configuration for more than the database.
func (a *app) withConfig(fn func(context.Context, *config.Config, *pgxpool.Pool, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, pool, err := a.ready(cmd.Context(), 0)
		if err != nil {
			return err
		}
		defer pool.Close()
		return fn(cmd.Context(), c, pool, args)
	}
}

// someBackends asks for one argument at least.
func someBackends(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("which backend? See %s --help, and outflow status for their names", cmd.CommandPath())}
	}
	return nil
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}
