package main

import (
	"errors"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/form"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/progress"
	"github.com/sondeprobe/sonde/engine"
)

// resolveOptions is what the command line of "sonde resolve" says.
type resolveOptions struct {
	bulkOptions
	names   nameOptions
	source  netip.Addr
	timeout time.Duration
	failOn  string
}

func newResolve(std streams, args []string) *cobra.Command {
	opt := &resolveOptions{bulkOptions: bulkOptions{args: args}}
	cmd := &cobra.Command{
		Use:   "resolve [NAME...|-]",
		Short: "Look names up and write one record each",
		Long: `Resolve looks every NAME up in DNS, and writes one JSON record for each, as it is finished, to standard
output. Without a NAME, or where it is -, it reads a list from standard input: a line is a name, or
anything that scan takes, of which the host counts. Blank lines and lines that begin with # are no
inputs, and the list may be packed with gzip or zstd, or be CSV or JSON Lines, as for scan.

A and AAAA are asked for together, unless -4 or -6 says otherwise. Answers are kept for their TTL, so
that a name that comes again is not asked for again.

Exit status: 0 every input was looked up, whatever came of it; 1 the run broke off, and what was
written is valid; 2 the command line is wrong; 3 --fail-on matched; 130 interrupted, by Ctrl-C,
SIGTERM or SIGHUP: the first finishes the look-ups that are in flight, the second stops at once.`,
		Example: `  sonde resolve example.com
  sonde resolve - < names.txt -o results.jsonl
  sonde resolve --resolver tls://192.0.2.53#dns.example -4 example.com example.org
  zcat urls.gz | sonde resolve -c 5000 | jq -r 'select(.failed) | "\(.error_kind) \(.input)"'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.files, opt.given = args, cmd.Flags()
			return resolve(opt, std)
		},
	}
	groups := opt.flags()
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.flags)
	}
	cmd.SetUsageFunc(usageOf(groups))
	return cmd
}

func (o *resolveOptions) flags() []flagGroup {
	return []flagGroup{
		group("Input", o.inputFlags),
		group("Output", o.outputFlags),
		group("Look-ups", func(f *pflag.FlagSet) {
			set(f, &o.concurrency, "concurrency", "c", "N", "1000", parseInt(1, 1_000_000, "1000"), "look-ups in flight at most; fewer while this machine does not keep up")
			o.names.flags(f)
			set(f, &o.names.rate, "dns-rate", "", "N", "0", parseQueryRate, "queries sent to one DNS server in a second; 0 is no limit")
			o.names.familyFlags(f, "look up")
			set(f, &o.source, "source", "", "ADDR", "", parseAddr, "send queries from this local address")
			set(f, &o.timeout, "timeout", "", "TIME", "5s", parseDuration, "for one name, from its first query on")
		}),
		group("Run", func(f *pflag.FlagSet) {
			set(f, &o.failOn, "fail-on", "", "WHAT", "none", oneOf("none", "errors"), "exit with status 3 on: none, errors (a name that has no address)")
			o.runFlags(f)
		}),
	}
}

// check finds what is wrong with the flags together.
func (o *resolveOptions) check() error {
	if err := errors.Join(o.bulkOptions.check(), o.names.check()); err != nil {
		return err
	}
	if o.source.IsValid() && !isOurs(o.source) {
		return usageError("--source %s is no address of this machine; give one that is", o.source)
	}
	if o.input != input.Lines && len(o.files) > 0 && o.files[0] != input.Stdin {
		return usageError("--input-format is about a list on standard input; leave out the names, or --input-format")
	}
	if slices.Contains(o.files, input.Stdin) && len(o.files) > 1 {
		return usageError("- is the whole list; give names, or - alone")
	}
	for _, name := range o.files {
		if server, ok := strings.CutPrefix(name, "@"); ok {
			return usageError("%s is no name; to ask a server give --resolver %s", quote(name), quote(server))
		}
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return usageError("%s is a file; to look up the names in it: sonde resolve - < %s", quote(name), quote(name))
		}
	}
	if rate := o.names.rate; rate > 0 {
		queries := rate * o.timeout.Seconds() // that may go in the time of one name
		if queries < 4 {
			return usageError("at --dns-rate %g a name takes longer than --timeout %s; raise one of them", rate, o.timeout)
		}
		// Two questions a name: no more names at a time than can be asked for in a quarter of their
		// time, or our own queue would be what they fail for.
		o.concurrency = int(min(float64(o.concurrency), max(queries/8, 1)))
	}
	return nil
}

// config says the options in the engine's terms.
func (o *resolveOptions) config() engine.Config {
	cfg := engine.Config{Concurrency: o.concurrency, Family: o.names.family(), ResolveTimeout: o.timeout, ResolverConfig: o.names.config(o.source)}
	cfg.ResolverConfig.WaitBoth = true
	if pins := o.names.pins(); len(pins) > 0 {
		cfg.ResolverConfig.Static = make(map[string][]netip.Addr, len(pins))
		for _, p := range pins {
			names := cfg.ResolverConfig.Static
			if !slices.Contains(names[p.at.Host], p.addr) {
				names[p.at.Host] = append(names[p.at.Host], p.addr)
			}
		}
	}
	return cfg
}

// resolveRun is one run of "sonde resolve".
type resolveRun struct {
	bulk
	opt *resolveOptions
}

// resolve is the command. What can be wrong is found before the first look-up.
func resolve(opt *resolveOptions, std streams) error {
	if err := opt.check(); err != nil {
		return err
	}
	s := &resolveRun{opt: opt, bulk: bulk{opt: &opt.bulkOptions, std: std, name: "resolve", did: "looked up", each: "look-ups"}}
	s.refuse = s.refuseRow
	s.begin(progress.Names)
	defer s.close()
	if err := errors.Join(s.chooseForm(form.Resolve), s.openInput()); err != nil {
		return err
	}
	if err := s.startEngine(opt.config()); err != nil {
		return err
	}
	defer s.eng.Close()
	s.limit = opt.concurrency
	if err := s.openOutput(); err != nil {
		return err
	}
	if err := s.openSummary(); err != nil {
		return err
	}
	return s.run(func() error { return s.eng.RunNames(s.ctx, s.targets(), s.emit) })
}

// openInput reads the names of the command line, or a list.
func (s *resolveRun) openInput() error {
	switch names := s.opt.files; {
	case len(names) == 0 && term.IsTerminal(int(s.std.in.Fd())):
		return usageError("nothing to resolve; give a NAME, or pipe a list to standard input")
	case len(names) == 0 || names[0] == input.Stdin:
		return s.openList([]string{input.Stdin}, func(error) string { return "pipe a list to standard input" })
	default:
		s.rows = func(halt <-chan struct{}) iter.Seq[input.Row] { return until(halt, names) }
		return nil
	}
}

// until returns the names, as long as halt is open.
func until(halt <-chan struct{}, names []string) iter.Seq[input.Row] {
	return func(yield func(input.Row) bool) {
		for _, name := range names {
			select {
			case <-halt:
				return
			default:
			}
			if !yield(input.Row{Input: name}) {
				return
			}
		}
	}
}

// emit takes one result. The engine calls it from many goroutines at once.
func (s *resolveRun) emit(r *engine.NameResult) {
	if s.halted.Load() && r.Failed && r.Kind == engine.KindLocalCanceled {
		s.tally.Skip(r.Attempts > 0) // it has no result to record
		return
	}
	s.tally.AddName(r, s.eng.Stats().InFlight)
	if r.Failed && s.opt.failOn == "errors" {
		s.match()
	}
	s.write(func(dst []byte) []byte { return appendMeta(r.AppendJSON(dst), r.Value) })
}

// refuseRow writes the record of a row from which no name can be taken.
func (s *resolveRun) refuseRow(n int64, row input.Row) {
	fault := faultOf(row)
	s.emit(&engine.NameResult{N: n, Input: row.Input, Start: time.Now(), Failed: true, Kind: fault.Kind, Err: fault})
}
