package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// meaning are the flags that change what a record says, or which lines have one. A run goes on only
// with the same ones.
var meaning = []string{
	"input-format", "column", "meta",
	"format", "fields", "shard", "dry-run", "bare", "ports", "cidr", "dedupe",
	"method", "data", "head-first", "header", "user-agent", "max-redirects", "no-follow", "no-cookies", "body-limit", "compressed",
	"timeout", "resolve-timeout", "connect-timeout", "tls-timeout", "head-timeout",
	"retries", "retry-on", "retry-max-wait",
	"resolver", "resolve", "ipv4", "ipv6", "source", "insecure",
	"match-code", "match-hop-code", "match-error", "filter-code", "filter-error",
	"expect", "expect-not", "expect-regexp", "fail-unexpected",
	"response-header", "title", "hash", "response-body", "fail-on", "hops", "lab",
}

// secret are those of them whose texts are not to lie about in a file.
var secret = map[string]bool{"header": true, "data": true}

// meaningOf returns the texts of the command's flags that change what a record says. A text that
// may be secret is replaced by its digest.
func meaningOf(command string, flags *pflag.FlagSet) map[string]string {
	texts := map[string]string{"command": command}
	for _, name := range meaning {
		f := flags.Lookup(name)
		if f == nil {
			continue
		}
		text := f.Value.String()
		if secret[name] && text != "" {
			text = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))
		}
		texts[name] = text
	}
	return texts
}

// commandToGoOn is the command line that goes on with the run, as it is typed into a shell.
func commandToGoOn(args []string) string {
	words := []string{shellQuote(os.Args[0])}
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if name == "--overwrite" || name == "--resume" {
			continue
		}
		words = append(words, shellQuote(arg))
	}
	words = append(words[:2:2], append([]string{"--resume"}, words[2:]...)...)
	return strings.Join(words, " ")
}

// shellQuote writes arg as one word of a POSIX shell.
func shellQuote(arg string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("-_./:,=@%+", r)
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
