package resolver

import (
	"slices"
	"testing"
)

// nameOpinions lists the names that are taken although net does not take them, with the reason.
var nameOpinions = map[string]string{
	"a.b-.com": "hyphens may end a label: such host names exist, and the URL Standard lets them pass (CheckHyphens is false)",
	"a.b.com-": "hyphens",
}

func TestNamesAreTakenAsNetTakesThem(t *testing.T) {
	var f struct {
		IsDomainName [][2]any `json:"is_domain_name"`
		AvoidDNS     [][2]any `json:"avoid_dns"`
		NameList     []struct {
			Search []string `json:"search"`
			Ndots  int      `json:"ndots"`
			Name   string   `json:"name"`
			Want   []string `json:"want"`
		} `json:"name_list"`
	}
	suite(t, "names.json", &f)
	for _, row := range f.IsDomainName {
		name, want := row[0].(string), row[1].(bool)
		if _, ok := absolute(name); ok != (want || nameOpinions[name] != "") {
			t.Errorf("%q is a name: %v, want %v, listed %q", name, ok, want, nameOpinions[name])
		}
	}
	for _, row := range f.AvoidDNS {
		name, want := row[0].(string), row[1].(bool)
		plain, ok := absolute(name)
		if never := !ok || absent(plain) || loopback(plain); never != want {
			t.Errorf("%q is never sent: %v, want %v", name, never, want)
		}
	}
	for _, row := range f.NameList {
		if got := candidates(row.Name, row.Search, row.Ndots); !slices.Equal(got, row.Want) {
			t.Errorf("%s with search %v, ndots %d: %v, want %v", row.Name, row.Search, row.Ndots, got, row.Want)
		}
	}
}

func TestSearchOrderFollowsNdots(t *testing.T) {
	search := []string{"a.test.", "b.test."}
	for _, tt := range []struct {
		host  string
		ndots int
		want  []string
	}{
		{"www", 1, []string{"www.a.test.", "www.b.test.", "www."}},
		{"www.x", 1, []string{"www.x.", "www.x.a.test.", "www.x.b.test."}},
		{"www.x", 2, []string{"www.x.a.test.", "www.x.b.test.", "www.x."}},
		{"www.", 5, []string{"www."}},
	} {
		if got := candidates(tt.host, search, tt.ndots); !slices.Equal(got, tt.want) {
			t.Errorf("%s, ndots %d: %v, want %v", tt.host, tt.ndots, got, tt.want)
		}
	}
}
