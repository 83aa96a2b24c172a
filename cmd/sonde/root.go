package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
	"github.com/sondeprobe/sonde/engine"
)

// The exit statuses, beside 0.
const (
	exitRuntime     = 1   // what was written is valid
	exitUsage       = 2   // nothing was done
	exitMatched     = 3   // --fail-on
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// streams are the standard streams. Files, not readers and writers: whether they are terminals, or
// the same file as another, matters.
type streams struct {
	in, out, err *os.File
}

// exit is an error that decides the exit status. text is for people, without the leading "sonde:";
// "" says nothing.
type exit struct {
	status int
	text   string
}

func (e *exit) Error() string { return e.text }

func usageError(format string, args ...any) error {
	return &exit{exitUsage, fmt.Sprintf(format, args...)}
}

func runtimeError(format string, args ...any) error {
	return &exit{exitRuntime, fmt.Sprintf(format, args...)}
}

// run runs one command line and returns the exit status.
func run(args []string, std streams) int {
	root := newRoot(std, args)
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	// What is left after RunE and the flags are cobra's own complaints, about usage.
	end := &exit{exitUsage, err.Error()}
	errors.As(err, &end)
	if end.text != "" {
		fmt.Fprintf(std.err, "sonde: %s\n", progress.Safe(end.text))
	}
	return end.status
}

func newRoot(std streams, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "sonde",
		Short: "Check URLs by the million, with exact times for every phase",
		Long: `Sonde checks URLs: it resolves the name, connects, sends a request, reads the response, follows
redirects, and says for every single input what happened and how long each phase took.`,
		Example:       "  sonde scan urls.txt -o results.jsonl\n  sonde scan --lab\n  sonde resolve example.com",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       engine.Version(),
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(args[0])
		},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetVersionTemplate("sonde {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newScan(std, args), newResolve(std, args), newLab(std), newVersion())
	root.SetHelpCommand(newHelp(root))
	return root
}

// newHelp is cobra's own, but for a topic that does not exist, which is an error here.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(args[0])
			}
			return cmd.Help()
		},
	}
}

func unknownCommand(name string) error {
	if strings.Contains(name, "://") {
		return usageError("unknown command %s; to check URLs give them to scan: echo %s | sonde scan", quote(name), quote(name))
	}
	return usageError("unknown command %s; see 'sonde --help'", quote(name))
}

// nearestFlag returns the flag whose name is most like name: by the letters that differ, of those
// that differ in few or begin alike. It is "" when none is. A flag that says the opposite is not
// like it.
func nearestFlag(flags *pflag.FlagSet, name string) (near string) {
	few, least := 1+len(name)/3, 100
	flags.VisitAll(func(f *pflag.Flag) {
		d := levenshtein.ComputeDistance(name, f.Name)
		alike := d <= few || len(name) >= 4 && strings.HasPrefix(f.Name, name[:4])
		opposite := f.Name == "no-"+name || name == "no-"+f.Name
		if len(name) > 1 && alike && !opposite && d < least && !f.Hidden {
			near, least = f.Name, d
		}
	})
	return near
}

// flagError turns what pflag says about the command line into one sentence that says what to do.
func flagError(cmd *cobra.Command, err error) error {
	help := "see '" + cmd.CommandPath() + " --help'"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		name := unknown.GetSpecifiedName()
		if near := nearestFlag(cmd.Flags(), name); near != "" {
			return usageError("unknown flag %s%s; did you mean --%s? %s", dashes, name, near, help)
		}
		return usageError("unknown flag %s%s; %s", dashes, name, help)
	}
	if bare, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		flag := bare.GetFlag()
		return usageError("--%s needs a value: --%s %s; %s", flag.Name, flag.Name, flag.Value.Type(), help)
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		name, reason := bad.GetFlag().Name, bad.Unwrap().Error()
		if bad.GetFlag().Value.Type() == "bool" {
			reason = "it takes no value; give --" + name + " alone"
		}
		return usageError("--%s %s: %s", name, quote(bad.GetValue()), reason)
	}
	return usageError("%s; %s", err, help)
}
