package engine

import (
	"encoding/hex"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/idna"
)

// standard is the full parser, brought up to the standard where it is behind.
var standard = whatwg.NewParser(
	whatwg.WithPathPercentEncodeSet(whatwg.PathPercentEncodeSet.Set('^')), // whatwg/url#846
	whatwg.WithPreParseHostFunc(misreadHost),
	whatwg.WithPostParseHostFunc(func(_ *whatwg.Url, host string) string { return domainOf(host) }),
)

// misreadHost puts in the place of a host that the parser would take for another one a host that it
// refuses: brackets inside brackets, which it drops; an A-label of nothing, which it makes an empty
// label ("example.com.xn--" would be example.com); and a number with a sign, which it takes for a
// part of an IPv4 address ("-29" would be 255.255.255.227). No top-level domain is such a number. A
// host that it might refuse, and the standard does not, gets a stand-in.
func misreadHost(_ *whatwg.Url, host string) string {
	if strings.HasPrefix(host, "[") && strings.ContainsAny(strings.TrimSuffix(host[1:], "]"), "[]") {
		return "["
	}
	mapped, err := mapping.ToASCII(unescape(host)) // an error is the parser's to find
	labels := strings.Split(strings.TrimSuffix(mapped, "."), ".")
	last := labels[len(labels)-1]
	number := isSigned(last) || last != "" && last[0] >= '0' && last[0] <= '9'
	for _, label := range labels {
		if number && isSigned(label) {
			return "["
		}
	}
	for label := range strings.SplitSeq(unescape(host), ".") {
		if strings.EqualFold(label, "xn--") {
			return label
		}
	}
	if err == nil && !number && needsStandIn(mapped) {
		return standIn + hex.EncodeToString([]byte(mapped))
	}
	return host
}

// mapping is the standard's "domain to ASCII", as for URLs: not strict about ASCII.
var mapping = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(false),
	idna.CheckHyphens(false), idna.CheckJoiners(true), idna.StrictDomainName(false))

// The parser is strict in names with an A-label: "_dmarc.xn--bcher-kva.example" would be none. In
// their place it sees a stand-in, a plain name of standIn and hexadecimal digits, from which
// domainOf makes the name again.
const (
	standIn = "stand-in-"
	loose   = "!\"$&'()*+,;=_`{}~" // the octets of a domain that a strict one does not have
)

// needsStandIn reports whether the parser might refuse a domain that mapping took, or whether
// domainOf would take it for a stand-in.
func needsStandIn(domain string) bool {
	for i := range len(domain) {
		if octets[domain[i]]&inHost == 0 && strings.IndexByte(loose, domain[i]) < 0 {
			return false // forbidden by the standard as well
		}
	}
	return strings.Contains(domain, "xn--") || strings.HasPrefix(domain, standIn)
}

func domainOf(host string) string {
	if digits, ok := strings.CutPrefix(host, standIn); ok {
		if domain, err := hex.DecodeString(digits); err == nil {
			return string(domain)
		}
	}
	return host
}

// isSigned reports whether strconv reads label, without the mark of its base, as a number with a
// sign.
func isSigned(label string) bool {
	digits := "0123456789"
	if rest, octal := strings.CutPrefix(label, "0"); octal {
		label = rest
		if rest != "" && rest[0]|0x20 == 'x' {
			label, digits = rest[1:], "0123456789abcdefABCDEF"
		}
	}
	return len(label) > 1 && (label[0] == '-' || label[0] == '+') && strings.Trim(label[1:], digits) == ""
}

// readable reports whether the parser reads a host that it wrote: it makes A-labels of some names,
// such as "aℵ", that it then refuses, and nothing could be resolved against a URL with one.
func readable(host string) bool {
	if !strings.Contains(host, "xn--") {
		return true
	}
	u, err := standard.Parse("http://" + host + "/")
	return err == nil && u.Hostname() == host
}
