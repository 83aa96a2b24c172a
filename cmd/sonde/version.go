package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/sondeprobe/sonde/engine"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "sonde %s (%s %s/%s)\n",
				engine.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no argument, but got %s; see '%s --help'", cmd.CommandPath(), quote(args[0]), cmd.CommandPath())
	}
	return nil
}
