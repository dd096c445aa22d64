package project

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestExcerptIsSafeToPrint(t *testing.T) {
	long := "memory: " + strings.Repeat("x", 300)
	for _, tt := range []struct {
		name, line string
		column     int
		want       string
		caret      int
	}{
		{"as it is", "  node: node9", 9, "  node: node9", 9},
		{"tabs are one blank", "\tnode: node9", 2, " node: node9", 2},
		{"escape sequences", "node: \x1b[31mred", 7, "node: ?[31mred", 7},
		{"characters, not bytes", "größe: ß", 8, "größe: ß", 8},
		{"just behind the line", "node:", 6, "node:", 6},
		{"far behind the line", "node:", 60, "node:", 6},
		{"the begin of a long line", long, 9, long[:excerptMax-1] + "…", 9},
		{"the middle of a long line", long, 150, "…" + strings.Repeat("x", excerptMax-2) + "…", 55},
		{"the end of a long line", long, 308, "…" + strings.Repeat("x", excerptMax-1), excerptMax},
		{"a password", "  password: hunter2", 3, "  password: …", 3},
		{"a password in a mapping", "bmc: {PASSWD: hunter2, address: x}", 24, "bmc: {PASSWD: …", 16},
		{"a key with nothing to hide", "  secret:", 3, "  secret:", 3},
	} {
		got, caret := excerpt(tt.line, tt.column)
		if got != tt.want || caret != tt.caret {
			t.Errorf("%s: %q, caret %d; want %q, caret %d", tt.name, got, caret, tt.want, tt.caret)
		}
	}
}

func TestLimitsOnWhatIsRead(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a line nobody wrote by hand", "note: " + strings.Repeat("x", lineLengthMax), "network.yml:1: the line is longer than 4096 bytes"},
		{"brackets without end", strings.Repeat("[", flowNestingMax+1), "network.yml:1:501: more than 500 brackets are open here"},
		{"bytes that are no text", "note: \xff\xfe", "network.yml:1:7: this is no UTF-8 text"},
		{"a NUL", "note: a\x00b", "network.yml:1:8: this is a NUL character"},
		{"merges without end", merges(), "more than 1000 mappings are merged"},
		{"a byte order mark is no fault", "\uFEFFmanagement: {hosts: {node1: {ip: 10.0.0.1}}}", ""},
	} {
		_, found := load(fstest.MapFS{"network.yml": {Data: []byte(tt.text)}}, "home")
		got := renderAll(found)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: found\n%.500s\nwant\n%s", tt.name, got, tt.want)
		}
	}

	var many strings.Builder
	for range faultsMax + 50 {
		many.WriteString("- ~\n")
	}
	_, found := load(fstest.MapFS{"network.yml": {Data: []byte("cluster:\n  nodes:\n" + many.String())}}, "home")
	if len(found) > faultsMax {
		t.Errorf("%d faults; nobody reads more than %d", len(found), faultsMax)
	}
}

// merges doubles what is merged with every level.
func merges() string {
	var b strings.Builder
	b.WriteString("management:\n  l00: &l00 {a: 1}\n")
	for k := 1; k < 30; k++ {
		b.WriteString("  " + level(k) + ": &" + level(k) + " {<<: [*" + level(k-1) + ", *" + level(k-1) + "]}\n")
	}
	b.WriteString("  <<: *" + level(29) + "\n")
	return b.String()
}

func level(k int) string { return "l" + string(rune('0'+k/10)) + string(rune('0'+k%10)) }

// The JSON form is a contract of `psw project validate -o json`.
func TestFaultAsJSON(t *testing.T) {
	_, found := load(fstest.MapFS{"network.yml": {Data: []byte("management: {hosts: {node1: {}}}\n")}}, "home")
	got, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"status":"FAIL","file":"network.yml","line":1,"column":22,"text":"management.hosts.node1 has no ip",` +
		`"excerpt":"management: {hosts: {node1: {}}}","fix":"add its address, e.g. ip: 10.10.0.198"}]`
	if string(got) != want {
		t.Errorf("json\n%s\nwant\n%s", got, want)
	}
}

func TestPlaces(t *testing.T) {
	for want, f := range map[string]Fault{
		"network.yml":      {Status: ha.Fail, File: "network.yml"},
		"network.yml:3":    {Status: ha.Fail, File: "network.yml", Line: 3},
		"network.yml:3:14": {Status: ha.Fail, File: "network.yml", Line: 3, Column: 14},
	} {
		if got := f.Place(); got != want {
			t.Errorf("place %s, want %s", got, want)
		}
	}
}

func TestNearestKey(t *testing.T) {
	for word, want := range map[string]string{
		"memroy": "memory", "Memory": "memory", "sharedstorage": "shared_storage", "shared-storage": "shared_storage",
		"targetz": "targets", "hosts": "hosts", "dns": "", "x": "", "template": "", "hh": "ha",
	} {
		got, ok := nearest(word, []string{"memory", "shared_storage", "targets", "hosts", "ha"})
		if got != want || ok != (want != "") {
			t.Errorf("nearest(%s) = %q, want %q", word, got, want)
		}
	}
}
