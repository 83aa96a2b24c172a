package main

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/lab"
	"github.com/sondeprobe/sonde/cmd/sonde/internal/output"
	"github.com/sondeprobe/sonde/engine"
	"github.com/sondeprobe/sonde/resolver"
)

func newLab(std streams) *cobra.Command {
	cfg := &lab.Config{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run the embedded origin and DNS on loopback",
		Long: `Lab runs a small Internet on loopback until Ctrl-C: an origin, a TLS origin and a DNS server, which
answer in every way that origins can, also the wrong ones. It prints, in the form of an input list,
where it listens, how to scan it, and the URLs that it serves. "sonde scan --lab" brings its own.`,
		Example: "  sonde lab\n  sonde lab --http 127.0.0.1:8080 --https 127.0.0.1:8443 --dns 127.0.0.1:5353 > urls.txt",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return runLab(*cfg, std) },
	}
	groups := []flagGroup{group("Addresses", func(f *pflag.FlagSet) {
		set(f, &cfg.HTTP, "http", "", "ADDR", "127.0.0.1:0", parseAddrPort, "listen here for http")
		set(f, &cfg.HTTPS, "https", "", "ADDR", "127.0.0.1:0", parseAddrPort, "listen here for https")
		set(f, &cfg.DNS, "dns", "", "ADDR", "127.0.0.1:0", parseAddrPort, "listen here for DNS, over UDP and TCP")
	})}
	cmd.Flags().AddFlagSet(groups[0].flags)
	cmd.SetUsageFunc(usageOf(groups))
	return cmd
}

func runLab(cfg lab.Config, std streams) (err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	l, err := lab.Start(cfg)
	if err != nil {
		return runtimeError("cannot start the lab: %s; %s", err, remedy(err, 0, "choose other addresses with --http, --https and --dns"))
	}
	defer l.Close()
	if err := printLab(std.out, l); err != nil {
		if isBrokenPipe(err) {
			return &exit{status: exitRuntime}
		}
		return runtimeError("cannot write to standard output: %s; give it somewhere to go", output.Reason(err))
	}
	<-signals
	return nil
}

// printLab writes an input list, so that the output of "sonde lab" can be scanned as it is.
func printLab(w io.Writer, l *lab.Lab) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# http   %s\n# https  %s\n# dns    %s\n", l.HTTP, l.HTTPS, l.DNS)
	fmt.Fprintf(b, "# Scan this list:  sonde scan --resolver %s -k FILE\n", dialable(l.DNS))
	fmt.Fprintf(b, "# The certificates come from an authority that nobody knows, hence -k.\n")
	for url := range l.List() {
		fmt.Fprintln(b, url)
	}
	return b.Flush()
}

// dialable replaces an address that stands for all, which can be listened on only.
func dialable(a netip.AddrPort) netip.AddrPort {
	switch {
	case !a.Addr().IsUnspecified():
		return a
	case a.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
}

// useLab starts a lab and leads the engine to it. Without files its own list is scanned, with the
// URLs as they would be on the Internet.
func (s *scanRun) useLab(cfg *engine.Config) (closeLab func(), err error) {
	l, err := lab.Start(lab.Config{})
	if err != nil {
		return nil, runtimeError("cannot start the lab: %s; %s", err, remedy(err, s.opt.concurrency, "give a FILE and leave out --lab"))
	}
	cfg.DialAddr = l.Dial
	cfg.RootCAs = l.Roots
	cfg.ResolverConfig.Servers = resolver.UDPServers(l.DNS)
	if s.list == nil {
		s.rows = labRows
	}
	return func() { l.Close() }, nil
}

func labRows(halt <-chan struct{}) iter.Seq[input.Row] {
	return func(yield func(input.Row) bool) {
		for _, page := range lab.Pages() {
			select {
			case <-halt:
				return
			default:
			}
			if !page.Endless && !yield(input.Row{Input: page.URL}) {
				return
			}
		}
	}
}
