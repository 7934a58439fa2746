package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) man() *cobra.Command {
	return &cobra.Command{
		Use:         "man DIRECTORY",
		Short:       "Writes the pages of the manual",
		Long:        "Writes a page of the manual for every verb into the directory, which is made if need be.",
		Example:     "  outflow man ~/.local/share/man/man1",
		Annotations: exits(map[int]string{exitOK: "they are written", exitNotWell: "", exitUnreachable: ""}),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("into which directory? See %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			day := time.Unix(0, 0).UTC() // the same pages whenever they are written
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, &doc.GenManHeader{Title: "OUTFLOW", Section: "1", Date: &day, Source: "Outflow"}, args[0]); err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			return nil
		},
	}
}
