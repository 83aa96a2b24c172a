package form

import (
	"bytes"
	"strings"
	"testing"
)

func TestColourDisturbsNoColumn(t *testing.T) {
	const record = `{"n":1,"input":"a","url":"http://a/","final_url":"https://a/",` +
		`"status_code":%,"failed":true,"error_kind":"redirect.loop","error":"again",` +
		`"timings_ms":{"total":1.000}}`
	for code, want := range map[string]string{
		"204": "\x1b[32m204\x1b[0m", "307": "\x1b[36m307\x1b[0m", "404": "\x1b[33m404\x1b[0m",
		"503": "\x1b[31m503\x1b[0m", "199": "199",
	} {
		for _, list := range []string{"", "n,status_code,failed,timings_ms.total,error,url"} {
			r := []byte(strings.Replace(record, "%", code, 1))
			coloured := mustNew(t, Text, list, Scan, true)
			bare := mustNew(t, Text, list, Scan, false)
			line := coloured.Append(nil, r)
			for _, part := range []string{"  " + want + "  ", "\x1b[2m", "\x1b[31magain\x1b[0m"} {
				if !bytes.Contains(line, []byte(part)) {
					t.Errorf("no %q in %q", part, line)
				}
			}
			if n, ok := coloured.N(line[:len(line)-1]); n != 1 || !ok {
				t.Errorf("n of %q is %d, %v", line, n, ok)
			}
			for _, sgr := range []string{red, green, yellow, cyan, faint, "\x1b[0m"} {
				line = bytes.ReplaceAll(line, []byte(sgr), nil)
			}
			if want := bare.Append(nil, r); !bytes.Equal(line, want) {
				t.Errorf("\n%q without colour is\n%q", line, want)
			}
		}
	}
	for _, kind := range []Kind{JSONL, CSV} {
		line := mustNew(t, kind, "status_code", Scan, true).Append(nil, []byte(plainRecord))
		if bytes.Contains(line, []byte{0x1b}) {
			t.Errorf("colour in %q", line)
		}
	}
}
