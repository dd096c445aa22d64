package tidy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// source is a package of one file.
func source(t *testing.T, path, src string) pkg {
	t.Helper()
	p := pkg{ImportPath: path, Name: path[strings.LastIndex(path, "/")+1:], GoFiles: []string{"a.go"}}
	f, err := parseFile(path+"/a.go", "a.go", src)
	if err != nil {
		t.Fatal(err)
	}
	p.files = []file{f}
	p.Doc = f.ast.Doc.Text()
	p.Name = f.ast.Name.Name
	return p
}

// Every rule is shown a tree that breaks it, and one beside it that does not: a rule
// that cannot fail guards nothing.
func TestEveryRuleCanFail(t *testing.T) {
	const grpc, bbolt, proxmox = "google.golang.org/grpc", "go.etcd.io/bbolt", "github.com/luthermonson/go-proxmox"
	shown := map[string]bool{}
	for _, tt := range []struct {
		rule string
		good []pkg
		bad  []pkg
		want []string
	}{
		{
			rule: "the vocabulary stands alone",
			good: []pkg{
				{ImportPath: "pkg/ha", Imports: []string{"fmt", "time"}},
				{ImportPath: "pkg/check", Imports: []string{"pkg/ha", "path", "slices"}},
				{ImportPath: "coordinator", Imports: []string{"os"}},
			},
			bad: []pkg{
				{ImportPath: "pkg/ha", Imports: []string{"fmt", "encoding/json"}},
				{ImportPath: "pkg/crm", Imports: []string{"pkg/ha"}},
				{ImportPath: "coordinator/planner", Imports: []string{"pkg/ha", "os"}},
				{ImportPath: "pkg/check", Imports: []string{"pkg/rpc"}},
			},
			want: []string{
				"pkg/ha: imports encoding/json; it may import cmp errors fmt iter maps math net/netip slices strconv strings time",
				"pkg/crm: imports pkg/ha; it may import cmp errors fmt iter maps math net/netip slices strconv strings time",
				"coordinator/planner: imports os; it may import cmp errors fmt iter maps math net/netip slices strconv strings time pkg/ha pkg/crm path",
				"pkg/check: imports pkg/rpc; it may import cmp errors fmt iter maps math net/netip slices strconv strings time pkg/ha pkg/crm path",
			},
		},
		{
			rule: "what decides is pure",
			good: []pkg{
				source(t, "pkg/ha", `package ha; import "time"; func Age(at, t time.Time) time.Duration { return at.Sub(t) }`),
				source(t, "agent", `package agent; import "time"; func f() { go time.Sleep(1) }`),
				source(t, "pkg/check", `package check; type clock struct{}; func (clock) Now() int { return 0 }; func f(time clock) int { return time.Now() }`),
			},
			bad: []pkg{source(t, "coordinator/planner", `package planner
import stop "time"
var started = stop.Now()
func f(done chan int) {
	go f(nil)
	select {}
	done <- 1
	<-done
	later := stop.AfterFunc
	_ = later
}
`), source(t, "pkg/crm", `package crm
import . "time"
var started = Now()
`)},
			want: []string{
				"coordinator/planner/a.go:3: uses time.Now",
				"coordinator/planner/a.go:9: uses time.AfterFunc",
				"coordinator/planner/a.go:4: has a channel",
				"coordinator/planner/a.go:5: has a go statement",
				"coordinator/planner/a.go:6: has a select statement",
				"coordinator/planner/a.go:7: has a send on a channel",
				"coordinator/planner/a.go:8: has a receive from a channel",
				"pkg/crm/a.go:2: imports time with a dot",
			},
		},
		{
			rule: "agent and coordinator never meet",
			good: []pkg{
				{ImportPath: "agent", Deps: []string{"agent/probe", "pkg/ha"}},
				{ImportPath: "coordinator", Deps: []string{"coordinator/store", "pkg/ha"}},
				{ImportPath: "e2e/lab", Deps: []string{"agent", "coordinator"}},
				{ImportPath: "pkg/rpc", Deps: []string{"pkg/ha", "agentless.example.org/x"}},
			},
			bad: []pkg{
				{ImportPath: "agent/probe", Deps: []string{"coordinator/planner"}},
				{ImportPath: "coordinator/cmd/psw", Deps: []string{"agent/probe"}},
				{ImportPath: "coordinator", XTestImports: []string{"agent"}},
				{ImportPath: "pkg/rpc", Deps: []string{"coordinator"}},
			},
			want: []string{
				"agent/probe: depends on coordinator/planner",
				"coordinator/cmd/psw: depends on agent/probe",
				"coordinator: depends on agent",
				"pkg/rpc: depends on coordinator",
			},
		},
		{
			rule: "every dependency has one home",
			good: []pkg{
				{ImportPath: "coordinator/store", Imports: []string{bbolt, "os"}},
				{ImportPath: "pkg/rpc", Imports: []string{grpc + "/codes", "google.golang.org/protobuf/proto"}},
				{ImportPath: "coordinator/cli", Imports: []string{"github.com/spf13/cobra"}, TestImports: []string{grpc, "pgregory.net/rapid"}},
				{ImportPath: "agent/cmd/psw-agent", Name: "main", Imports: []string{"github.com/spf13/cobra"}},
			},
			bad: []pkg{
				{ImportPath: "coordinator", Imports: []string{bbolt}},
				{ImportPath: "agent", Imports: []string{"github.com/spf13/cobra"}},
				{ImportPath: "pkg/ha", Imports: []string{"github.com/google/go-cmp/cmp"}},
				{ImportPath: "pkg/check", TestImports: []string{"github.com/stretchr/testify/assert"}},
			},
			want: []string{
				"coordinator: imports go.etcd.io/bbolt; its home is coordinator/store",
				"agent: imports github.com/spf13/cobra; its home is coordinator/cli and */cmd/*",
				"pkg/ha: imports github.com/google/go-cmp/cmp; only tests may import it",
				"pkg/check: imports github.com/stretchr/testify/assert, which has no home",
			},
		},
		{
			rule: "messages stop at pkg/rpc",
			good: []pkg{{ImportPath: "pkg/rpc", Imports: []string{"proto/psw/ha/v1"}}},
			bad: []pkg{
				{ImportPath: "coordinator", Imports: []string{"proto/psw/ha/v1"}},
				{ImportPath: "coordinator/cli", TestImports: []string{"proto/psw/ha/v1"}},
			},
			want: []string{"coordinator: imports proto/psw/ha/v1", "coordinator/cli: imports proto/psw/ha/v1"},
		},
		{
			rule: "the agent stays small",
			good: []pkg{
				{ImportPath: "agent/cmd/psw-agent", Deps: []string{"pkg/rpc", grpc}},
				{ImportPath: "coordinator", Deps: []string{proxmox, bbolt}},
			},
			bad: []pkg{{ImportPath: "agent/cmd/psw-agent", Deps: []string{"pkg/rpc", proxmox, bbolt + "/errors"}}},
			want: []string{
				"agent/cmd/psw-agent: depends on github.com/luthermonson/go-proxmox",
				"agent/cmd/psw-agent: depends on go.etcd.io/bbolt/errors",
			},
		},
		{
			rule: "the operator's command is a client",
			good: []pkg{
				{ImportPath: "coordinator/cli", Deps: []string{"pkg/rpc", "pkg/project", "coordinator/forecast"}},
				{ImportPath: "coordinator/cmd/psw-coordinator", Deps: []string{"coordinator", "coordinator/store"}},
			},
			bad: []pkg{
				{ImportPath: "coordinator/cli", Deps: []string{"coordinator", "coordinator/store"}},
				{ImportPath: "coordinator/cmd/psw", Deps: []string{"coordinator/cli", proxmox}},
			},
			want: []string{
				"coordinator/cli: depends on coordinator/store",
				"coordinator/cmd/psw: depends on github.com/luthermonson/go-proxmox",
				"coordinator/cli: depends on coordinator",
			},
		},
		{
			rule: "nothing ships from e2e",
			good: []pkg{
				{ImportPath: "e2e/lab", Deps: []string{"e2e/pvesim"}},
				{ImportPath: "coordinator/pve", XTestImports: []string{"e2e/pvesim"}},
			},
			bad:  []pkg{{ImportPath: "coordinator/cmd/psw-coordinator", Deps: []string{"coordinator", "e2e/pvesim"}}},
			want: []string{"coordinator/cmd/psw-coordinator: depends on e2e/pvesim"},
		},
		{
			rule: "the simulator shares no types with us",
			good: []pkg{{ImportPath: "e2e/pvesim", Imports: []string{"net/http", "pkg/crm"}, XTestImports: []string{"coordinator/pve"}}},
			bad:  []pkg{{ImportPath: "e2e/pvesim", Imports: []string{"net/http", "pkg/ha", proxmox}}},
			want: []string{
				"e2e/pvesim: imports pkg/ha; it may import the standard library and pkg/crm",
				"e2e/pvesim: imports github.com/luthermonson/go-proxmox; it may import the standard library and pkg/crm",
			},
		},
		{
			rule: "only programs touch the process",
			good: []pkg{
				source(t, "coordinator/cmd/psw", `package main; import "os"; func main() { os.Exit(len(os.Args)) }`),
				source(t, "coordinator/store", `package store; import "os"; func f() { os.Remove("x") }`),
			},
			bad: []pkg{source(t, "coordinator/cli", `package cli
import (
	"os"
	"os/signal"
)
func f(c chan os.Signal) {
	signal.Notify(c)
	if len(os.Args) > 1 || os.Getenv("HOME") == "" {
		os.Exit(1)
	}
}
`)},
			want: []string{
				"coordinator/cli/a.go:7: uses signal.Notify",
				"coordinator/cli/a.go:8: uses os.Args",
				"coordinator/cli/a.go:8: uses os.Getenv",
				"coordinator/cli/a.go:9: uses os.Exit",
			},
		},
		{
			rule: "every package says what it keeps",
			good: []pkg{
				{ImportPath: "pkg/ha", Name: "ha", Doc: "Package ha is the vocabulary.", GoFiles: []string{"ha.go"}},
				{ImportPath: "coordinator/cmd/psw", Name: "main", Doc: "Command psw is the operator's command.", GoFiles: []string{"main.go"}},
				testsOnly(t, "// Package e2e holds whole worlds.\npackage e2e"),
				testsOnly(t, "// Package e2e_test holds whole worlds.\npackage e2e_test"),
			},
			bad: []pkg{
				{ImportPath: "pkg/rpc", Name: "rpc", GoFiles: []string{"rpc.go"}},
				{ImportPath: "pkg/check", Name: "check", Doc: "The judge.", GoFiles: []string{"check.go"}},
				{ImportPath: "agent/cmd/psw-agent", Name: "main", Doc: "Package main runs the agent.", GoFiles: []string{"main.go"}},
				testsOnly(t, "package e2e"),
			},
			want: []string{
				`pkg/rpc: has no package comment; begin one with "Package rpc"`,
				`pkg/check: its package comment does not begin with "Package check"`,
				`agent/cmd/psw-agent: its package comment does not begin with "Command psw-agent"`,
				`e2e: has no package comment; begin one with "Package e2e"`,
			},
		},
		{
			rule: "no attics",
			good: []pkg{{ImportPath: "pkg/rpc", Name: "rpc"}, {ImportPath: "agent/commonplace", Name: "commonplace"}},
			bad:  []pkg{{ImportPath: "pkg/util/files", Name: "files"}, {ImportPath: "agent/x", Name: "helper"}},
			want: []string{"pkg/util/files: is called util", "agent/x: is called helper"},
		},
	} {
		shown[tt.rule] = true
		t.Run(tt.rule, func(t *testing.T) {
			k := slices.IndexFunc(rules, func(r rule) bool { return r.name == tt.rule })
			if k < 0 {
				t.Fatal("there is no such rule")
			}
			if found := rules[k].check(tt.good); len(found) > 0 {
				t.Errorf("a good tree breaks the rule: %v", found)
			}
			if found := rules[k].check(nil); len(found) > 0 {
				t.Errorf("packages that do not exist break the rule: %v", found)
			}
			var got []string
			for _, b := range rules[k].check(tt.bad) {
				got = append(got, b.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("breaches (-want +got):\n%s", diff)
			}
		})
	}
	for _, r := range rules {
		if !shown[r.name] {
			t.Errorf("nothing shows that the rule %q can fail", r.name)
		}
		if r.why == "" {
			t.Errorf("the rule %q does not say why", r.name)
		}
	}
}

// testsOnly is the package e2e with nothing but a test file.
func testsOnly(t *testing.T, src string) pkg {
	t.Helper()
	p := source(t, "e2e", src)
	p.TestGoFiles, p.GoFiles, p.Doc = p.GoFiles, nil, ""
	p.files[0].test = true
	return p
}

func TestGoListIsReadWithoutTheModulePath(t *testing.T) {
	tree, err := decode([]byte(`{"ImportPath": "github.com/casaeureka/psw-ha/pkg/ha", "Deps": ["fmt", "github.com/casaeureka/psw-ha/pkg/crm"]}
{"ImportPath": "github.com/casaeureka/psw-ha"}`))
	if err != nil {
		t.Fatal(err)
	}
	if tree[0].ImportPath != "pkg/ha" || !slices.Equal(tree[0].Deps, []string{"fmt", "pkg/crm"}) || tree[1].ImportPath != "." {
		t.Errorf("read as %+v", tree)
	}
}
