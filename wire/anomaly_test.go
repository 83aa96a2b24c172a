package wire

import (
	"slices"
	"testing"
)

func TestAnomalyNamesFollowTheTable(t *testing.T) {
	want := []struct {
		bit  Anomaly
		name string
	}{
		{StatusLineSpace, "status_line_space"},
		{VersionMinor, "version_minor"},
		{StatusRange, "status_range"},
		{LeadingCRLF, "leading_crlf"},
		{BareLF, "bare_lf"},
		{ObsFold, "obs_fold"},
		{BadFieldLine, "bad_field_line"},
		{SpaceBeforeColon, "space_before_colon"},
		{RepeatedContentLength, "repeated_content_length"},
		{LengthAndChunked, "length_and_chunked"},
		{RepeatedChunked, "repeated_chunked"},
		{ChunkedHTTP10, "chunked_http10"},
		{ChunkSpace, "chunk_space"},
		{ExtraBytes, "extra_bytes"},
	}
	if len(want) != len(anomalies) {
		t.Fatalf("%d anomalies, %d tested", len(anomalies), len(want))
	}
	var names []string
	for i, w := range want {
		names = append(names, w.name)
		if w.bit != 1<<i || w.bit.String() != w.name || w.bit.Err() == nil {
			t.Errorf("bit %d: %b is %q with error %v, want %q", i, w.bit, w.bit, w.bit.Err(), w.name)
		}
	}
	// A caller's own bits are passed over.
	if got := slices.Collect(Anomaly(1<<32 - 1).Names()); !slices.Equal(got, names) {
		t.Errorf("all bits: %q", got)
	}
	if own := Anomaly(1 << 24); own.String() != "" || own.Err() != nil {
		t.Errorf("a caller's bit: %q, %v", own, own.Err())
	}
	if ExtraBytes >= 1<<24 {
		t.Error("a bit above 23 belongs to the caller")
	}
}

func TestAnomalyNamesStopsWhenAsked(t *testing.T) {
	for name := range (BareLF | ObsFold).Names() {
		if name != "bare_lf" {
			t.Fatalf("went on to %q", name)
		}
		break
	}
}

func TestAnomalyErrIsThatOfTheFirst(t *testing.T) {
	if err := (StatusRange | ChunkSpace).Err(); err != ErrStatusCode {
		t.Errorf("%v, want %v", err, ErrStatusCode)
	}
	if err := Anomaly(0).Err(); err != nil {
		t.Errorf("%v without an anomaly", err)
	}
}
