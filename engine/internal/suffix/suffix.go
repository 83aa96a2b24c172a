// Copyright 2012 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

package suffix

import (
	_ "embed"
	"strings"
)

// How the tables are laid out, in bits, as golang.org/x/net/publicsuffix/table.go has it.
const (
	nodeBytes           = 5
	nodesBitsChildren   = 10
	nodesBitsICANN      = 1
	nodesBitsTextOffset = 16
	nodesBitsTextLength = 6

	childrenBytes        = 4
	childrenBitsNodeType = 2
	childrenBitsHi       = 14
	childrenBitsLo       = 14

	nodeTypeNormal    = 0
	nodeTypeException = 1

	numTLD = 1450 // the first nodes are the top level domains
)

//go:embed data/text
var text string // of all labels

// nodes has an entry a label: from the highest bit, the index of its children, whether ICANN
// manages it, where its text begins, and the length of that.
//
//go:embed data/nodes
var nodes string

// children has an entry for each set of children: from the highest bit, whether all labels below
// are suffixes, the type of the node, the index behind its last child and that of its first.
//
//go:embed data/children
var children string

// Of returns the public suffix of domain, a name in lower case of A-labels without a final dot. Of
// a name that no rule covers it is the last label. It does not allocate, and is safe for use by
// several goroutines.
func Of(domain string) string {
	lo, hi := uint32(0), uint32(numTLD)
	s, suffix, wildcard := domain, len(domain), false
	for {
		dot := strings.LastIndexByte(s, '.')
		if wildcard {
			suffix = 1 + dot
		}
		i, found := find(s[1+dot:], lo, hi)
		if !found {
			break
		}
		below := i.children()
		lo, hi, wildcard = below.lo, below.hi, below.wildcard
		if below.kind == nodeTypeException {
			suffix = 1 + len(s)
			break
		}
		if below.kind == nodeTypeNormal {
			suffix = 1 + dot
		}
		if dot < 0 {
			break
		}
		s = s[:dot]
	}
	if suffix == len(domain) {
		return domain[1+strings.LastIndexByte(domain, '.'):] // the rule "*"
	}
	return domain[suffix:]
}

// node is the index of an entry of nodes.
type node uint32

// find looks the label up among the nodes from lo to hi, which are in the order of their labels.
func find(label string, lo, hi uint32) (n node, found bool) {
	for lo < hi {
		mid := lo + (hi-lo)/2
		switch s := node(mid).label(); {
		case s < label:
			lo = mid + 1
		case s > label:
			hi = mid
		default:
			return node(mid), true
		}
	}
	return 0, false
}

func (n node) label() string {
	x := entry(nodes, uint32(n), nodeBytes)
	length := x & (1<<nodesBitsTextLength - 1)
	offset := x >> nodesBitsTextLength & (1<<nodesBitsTextOffset - 1)
	return text[offset : offset+length]
}

// family is an entry of children.
type family struct {
	lo, hi   uint32 // the nodes below
	kind     uint64
	wildcard bool
}

func (n node) children() family {
	const below = nodesBitsTextLength + nodesBitsTextOffset + nodesBitsICANN
	x := entry(nodes, uint32(n), nodeBytes) >> below
	x = entry(children, uint32(x&(1<<nodesBitsChildren-1)), childrenBytes)
	f := family{lo: uint32(x & (1<<childrenBitsLo - 1))}
	x >>= childrenBitsLo
	f.hi = uint32(x & (1<<childrenBitsHi - 1))
	x >>= childrenBitsHi
	f.kind = x & (1<<childrenBitsNodeType - 1)
	f.wildcard = x>>childrenBitsNodeType&1 != 0
	return f
}

// entry reads the i-th number of size bytes, the highest one first.
func entry(table string, i uint32, size int) (x uint64) {
	for _, b := range []byte(table[int(i)*size:][:size]) {
		x = x<<8 | uint64(b)
	}
	return x
}
