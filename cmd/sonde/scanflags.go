package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/engine"
)

// flagGroup is a heading of the help and the flags under it.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

func group(title string, define func(*pflag.FlagSet)) flagGroup {
	flags := pflag.NewFlagSet(title, pflag.ContinueOnError)
	flags.SortFlags = false
	define(flags)
	return flagGroup{title, flags}
}

// usageOf prints the flags under their headings.
func usageOf(groups []flagGroup) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
		if cmd.HasExample() {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
		}
		for _, g := range groups {
			fmt.Fprintf(&b, "\n%s:\n%s", g.title, g.flags.FlagUsages())
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
		return err
	}
}

// set defines a flag with a default, which goes through the parser as well.
func set[T any](f *pflag.FlagSet, dst *T, name, short, kind, def string, parse func(string) (T, error), usage string) {
	v := &value[T]{dst: dst, parse: parse, kind: kind}
	if def != "" {
		if err := v.Set(def); err != nil {
			panic("default of --" + name + ": " + err.Error()) // a slip in this file; every run would show it
		}
	}
	f.VarP(v, name, short, usage)
}

func add[T any](f *pflag.FlagSet, dst *[]T, name, short, kind string, parse func(string) (T, error), usage string) {
	f.VarP(&values[T]{dst: dst, parse: parse, kind: kind}, name, short, usage+" (repeatable)")
}

func include[T any](f *pflag.FlagSet, dst *T, name, kind string, parse func(string) (T, error), join func(*T, T), usage string) {
	f.Var(&sum[T]{dst: dst, parse: parse, include: join, kind: kind}, name, usage+" (repeatable)")
}

func (o *scanOptions) flags() []flagGroup {
	return []flagGroup{
		group("Input", o.inputFlags),
		group("Output", o.outputFlags),
		group("Pace", o.paceFlags),
		group("Retries", o.retryFlags),
		group("Request", o.requestFlags),
		group("Time limits", o.timeFlags),
		group("Network", o.networkFlags),
		group("Content", o.contentFlags),
		group("Results", o.resultFlags),
		group("Run", o.scanRunFlags),
	}
}

func (o *bulkOptions) outputFlags(f *pflag.FlagSet) {
	set(f, &o.output, "output", "o", "FILE", "-", parseFileName,
		"write the records to FILE, packed when it ends in .zst or .gz; - is standard output")
	f.BoolVar(&o.resume, "resume", false,
		"go on with a run that ended early: keep what FILE holds, and do the rest")
	f.BoolVar(&o.overwrite, "overwrite", false, "empty FILE first, if it holds something")
	set(f, &o.format, "format", "", "FORM", "", oneOf("jsonl", "csv", "text"),
		"jsonl (for programs), csv (for a spreadsheet), text (for people); jsonl unless FILE ends in .csv")
	set(f, &o.fields, "fields", "", "LIST", "", parseFields,
		"these keys of the record alone, such as n,input,status_code,timings_ms.wait")
	set(f, &o.summaryJSON, "summary-json", "", "FILE", "", parseFileName,
		"write the counts of the summary to FILE, as JSON; - is standard output")
}

func (o *scanOptions) paceFlags(f *pflag.FlagSet) {
	set(f, &o.concurrency, "concurrency", "c", "N", "2000", parseInt(1, 1_000_000, "2000"),
		"checks in flight; never more than 80 % of the descriptors")
	set(f, &o.rate, "rate", "r", "N", "0", parseRate,
		"checks started in a second, evenly spaced; 0 is no limit")
	set(f, &o.hostRate, "host-rate", "", "N", "0", parseRate,
		"requests to one host in a second, redirects included, evenly spaced; 0 is no limit")
	set(f, &o.hostConcurrency, "host-concurrency", "", "N", "4", parseInt(0, 1_000_000, "4"),
		"requests under way to one host; 0 is no limit")
}

func (o *scanOptions) retryFlags(f *pflag.FlagSet) {
	set(f, &o.retries, "retries", "", "N", "0", parseInt(0, 100, "2"),
		"further tries of a check whose outcome may pass; a Retry-After keeps all checks from its host")
	include(f, &o.retryOn, "retry-on", "OUTCOMES", parseRetryOn, (*outcomes).include,
		"error kinds, groups of them and status codes that may pass, such as receive.,connect.refused,500-599 (default: time-outs, resets, resolve.servfail, 429, 503)")
	set(f, &o.retryMaxWait, "retry-max-wait", "", "TIME", "60s", parseDuration,
		"the longest wait for a further try; the first is 1s at most")
}

func (o *scanOptions) requestFlags(f *pflag.FlagSet) {
	set(f, &o.method, "method", "X", "METHOD", "GET", parseMethod, "request method")
	f.Var(&o.data, "data",
		"send TEXT, or what FILE holds, as the body, with POST unless --method says otherwise; "+
			"a Content-Type is yours to give with -H")
	f.BoolVar(&o.headFirst, "head-first", false,
		"begin with HEAD, and make the check again with GET where HEAD is refused (403, 404, 405, "+
			"500, 501, 503), not answered, or answered with a body; the record lists the HEAD in tries")
	add(f, &o.header, "header", "H", "FIELD", parseHeader, `send this field too, as in "Accept: text/html"`)
	set(f, &o.userAgent, "user-agent", "A", "TEXT", engine.DefaultUserAgent(), parseUserAgent, "User-Agent field")
	set(f, &o.maxRedirects, "max-redirects", "", "N", "5", parseInt(0, 1000, "5"), "redirections followed; one more is an error")
	f.BoolVar(&o.compressed, "compressed", false, "ask for compressed content; what comes compressed is decoded in any case, where it is looked at")
	f.BoolVar(&o.noFollow, "no-follow", false, "take a redirect as the final answer")
	f.BoolVar(&o.noCookies, "no-cookies", false,
		"send no cookies that a redirect sets; a site that waits for one is a loop")
	set(f, &o.bodyLimit, "body-limit", "", "SIZE", "64KiB", parseSize, "body bytes read of a response, such as 64KiB or 1MB; 0 reads none")
}

func (o *scanOptions) timeFlags(f *pflag.FlagSet) {
	set(f, &o.timeout, "timeout", "", "TIME", "30s", parseDuration,
		"for a whole check, redirects included; each try has its own")
	set(f, &o.resolveTimeout, "resolve-timeout", "", "TIME", "5s", parseDuration, "for one look-up")
	set(f, &o.connectTimeout, "connect-timeout", "", "TIME", "5s", parseDuration, "for a connection, all addresses together")
	set(f, &o.tlsTimeout, "tls-timeout", "", "TIME", "10s", parseDuration, "for one handshake")
	set(f, &o.headTimeout, "head-timeout", "", "TIME", "10s", parseDuration, "from the request sent to the end of the response head")
}

func (o *scanOptions) networkFlags(f *pflag.FlagSet) {
	o.names.flags(f)
	add(f, &o.pins, "resolve", "", "HOST:PORT:ADDR", parsePin, "dial ADDR for this host and port; IPv6 in brackets")
	o.names.familyFlags(f, "dial")
	f.BoolVarP(&o.insecure, "insecure", "k", false, "go on when a certificate cannot be verified; the record tells")
	set(f, &o.source, "source", "", "ADDR", "", parseAddr, "connect from this local address")
}

func (o *scanOptions) contentFlags(f *pflag.FlagSet) {
	add(f, &o.expect.Texts, "expect", "", "TEXT", parseText, "look for TEXT in the body; the record says in expect_found whether all holds that is expected")
	add(f, &o.expect.Not, "expect-not", "", "TEXT", parseText, "likewise, but TEXT is not to be there")
	add(f, &o.expect.Regexp, "expect-regexp", "", "PATTERN", parseRegexp, "likewise, but PATTERN, in RE2 syntax, is to match; (?i) in front ignores case")
	f.BoolVar(&o.failUnexpected, "fail-unexpected", false, "what is not as expected has failed: receive.expect_not_found")
	f.BoolVar(&o.title, "title", false, "keep the title of an HTML page: title")
	add(f, &o.responseHeaders, "response-header", "", "NAME", parseFieldName, "keep this field of the last response: headers")
	set(f, &o.hash, "hash", "", "KIND", "", oneOf("sha256"), "keep the hash of the body that was read: body_sha256, beside body_complete")
	f.BoolVar(&o.responseBody, "response-body", false, "keep the body that was read: body, or body_base64 when it is no text")
}

func (o *scanOptions) resultFlags(f *pflag.FlagSet) {
	include(f, &o.match.codes, "match-code", "CODES", parseStatusSet, (*statusSet).include,
		"write only records whose last status code is one of these, such as 2xx,301,500-511, or that another --match flag wants")
	include(f, &o.match.hopCodes, "match-hop-code", "CODES", parseStatusSet, (*statusSet).include,
		"likewise where the status code of any hop is: 301,308 finds what moved")
	include(f, &o.match.kinds, "match-error", "KINDS", parseKinds, (*kindSet).include,
		"likewise with these error kinds, or groups of them, such as connect.refused,redirect.")
	include(f, &o.filter.codes, "filter-code", "CODES", parseStatusSet, (*statusSet).include,
		"write no records with these last status codes, whatever the --match flags want")
	include(f, &o.filter.kinds, "filter-error", "KINDS", parseKinds, (*kindSet).include,
		"likewise with these error kinds, or groups of them")
	include(f, &o.failOn, "fail-on", "WHAT", parseFailOn, (*failOn).include,
		"exit with status 3 on: none, or any of errors (anything failed, or a body is not as expected), error kinds, status codes")
	f.BoolVar(&o.hops, "hops", false, "list the hops of every record, not of redirected ones only")
}

func (o *scanOptions) scanRunFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.dryRun, "dry-run", false, "read the inputs and write how each is understood; no network")
	o.runFlags(f)
	f.BoolVar(&o.lab, "lab", false, "probe the embedded origin and DNS on loopback; without FILE, the lab's own list")
}

func (o *bulkOptions) runFlags(f *pflag.FlagSet) {
	set(f, &o.maxTime, "max-time", "", "TIME", "", parseDuration,
		"stop after this time, with status 1; --resume goes on")
	set(f, &o.shard, "shard", "", "I/N", "", parseShard,
		"only every N-th line, from the I-th on: for N machines with one list")
	set(f, &o.shuffle, "shuffle", "", "SEED", "", parseSeed,
		"mix the order of the list, within 65,536 lines at a time; SEED is a number")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no summary and no progress; errors still show")
	set(f, &o.progress, "progress", "", "WHEN", "auto", oneOf("auto", "always", "never"),
		"live state on standard error: auto (on a terminal), always, never")
}
