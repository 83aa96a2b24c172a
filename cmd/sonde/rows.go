package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sondeprobe/sonde/cmd/sonde/internal/input"
	"github.com/sondeprobe/sonde/engine"
)

func (o *bulkOptions) inputFlags(f *pflag.FlagSet) {
	set(f, &o.input, "input-format", "", "FORM", "lines", parseInputFormat,
		"what the list is: lines (a URL each), csv (comma, semicolon or tab), jsonl (objects with \"url\")")
	set(f, &o.column, "column", "", "N|NAME", "", parseColumn,
		"the column of the URL in csv: its number, or its name in the header (default: url, or the first where there is no header)")
	f.BoolVar(&o.meta, "meta", false,
		"carry the other columns or keys into the record, as \"meta\"; --fields takes meta.NAME")
}

var inputFormats = map[string]input.Kind{"lines": input.Lines, "csv": input.CSV, "jsonl": input.JSONL}

func parseInputFormat(s string) (input.Kind, error) {
	kind, ok := inputFormats[s]
	if !ok {
		return 0, errors.New("give one of lines, csv, jsonl")
	}
	return kind, nil
}

func parseColumn(s string) (string, error) {
	if strings.TrimSpace(s) == "" || strings.Trim(s, "0") == "" {
		return "", errors.New("give the number of a column, from 1, or its name in the header")
	}
	return s, nil
}

func (o *bulkOptions) inputFormat() input.Format {
	return input.Format{Kind: o.input, Column: o.column, Meta: o.meta}
}

// meta is what a row of the list carries into its record, as JSON.
type meta string

// appendMeta adds what the row carries to the end of a record.
func appendMeta(record []byte, value any) []byte {
	carried, ok := value.(meta)
	if !ok {
		return record
	}
	record = append(record[:len(record)-1], `,"meta":`...)
	return append(append(record, carried...), '}')
}

// faultOf is the outcome of a row from which no input can be taken.
func faultOf(row input.Row) *engine.Error {
	return &engine.Error{Kind: engine.KindInputInvalidURL, Phase: engine.PhaseNone, Text: row.Fault}
}
