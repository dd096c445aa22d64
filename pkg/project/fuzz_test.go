package project

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// FuzzLoad feeds anything as network.yml (and as the lenient files): nothing may panic,
// what is said must be printable and whole, and a project without faults must keep the
// promises the rest of the program builds on.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(everything))
	stories, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range stories {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n-- ") {
			if _, body, ok := strings.Cut(part, " --\n"); ok {
				f.Add([]byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &fstest.MapFile{Data: data, Mode: 0o644}
		fsys := fstest.MapFS{"network.yml": file, "nodes/node1/hardware.yml": file, ".psw/converge/state.yml": file}
		policy, found := load(fsys, "home")
		for _, fault := range found {
			checkPrintable(t, fault)
		}
		again, _ := load(fsys, "home")
		if !reflect.DeepEqual(policy, again) {
			t.Errorf("read twice, two policies:\n%+v\n%+v", policy, again)
		}
		if !slices.ContainsFunc(found, func(f Fault) bool { return f.Status == ha.Fail }) {
			checkPolicy(t, policy)
		}
	})
}

func checkPrintable(t *testing.T, f Fault) {
	t.Helper()
	if f.Text == "" || f.Fix == "" || f.Status == "" {
		t.Errorf("a fault that does not say everything: %+v", f)
	}
	text := f.String()
	if !utf8.ValidString(text) {
		t.Errorf("%q is no UTF-8", text)
	}
	for _, r := range text {
		if r != '\n' && unicode.IsControl(r) {
			t.Errorf("%q holds the control character %q", text, r)
		}
	}
	if n := utf8.RuneCountInString(f.Excerpt); n > excerptMax || f.Caret > n+1 {
		t.Errorf("excerpt of %d characters, caret at %d", n, f.Caret)
	}
	if f.Line < 0 || f.Column < 0 {
		t.Errorf("place %s", f.Place())
	}
}

// checkPolicy says what a policy without faults promises.
func checkPolicy(t *testing.T, p ha.Policy) {
	t.Helper()
	if !slices.IsSortedFunc(p.Hosts, func(a, b ha.Host) int { return strings.Compare(string(a.Name), string(b.Name)) }) ||
		!slices.IsSortedFunc(p.Targets, func(a, b ha.Target) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("hosts or targets are not sorted: %+v", p)
	}
	for _, n := range p.Cluster.Nodes {
		if h, ok := p.Host(n); !ok || !slices.Contains(h.Roles, roleProxmox) || !h.IP.IsValid() {
			t.Errorf("cluster node %q is no node with an address: %+v", n, h)
		}
	}
	for _, target := range p.Targets {
		switch {
		case target.Type == ha.TargetBare:
			if target.HA || target.Node != "" {
				t.Errorf("bare target %+v", target)
			}
		case target.Type != ha.TargetLXC && target.Type != ha.TargetVM:
			t.Errorf("type of %+v", target)
		case target.Node == "":
			t.Errorf("no node: %+v", target)
		case target.HA && !slices.Contains(p.Cluster.Nodes, target.Node):
			t.Errorf("protected outside the cluster %v: %+v", p.Cluster.Nodes, target)
		case target.HA && len(p.Cluster.Nodes) < 2:
			t.Errorf("protected by a cluster of %d: %+v", len(p.Cluster.Nodes), target)
		}
		if target.Cores < 0 || target.Memory < 0 || target.Disk < 0 || target.ReadyTCP < 0 || target.ReadyTCP > 65535 {
			t.Errorf("sizes: %+v", target)
		}
	}
	if s := p.Cluster.Storage; s != nil && (s.Type != "nfs" || s.Server == "" || s.Export == "" || s.Mount == "") {
		t.Errorf("storage: %+v", s)
	}
}
