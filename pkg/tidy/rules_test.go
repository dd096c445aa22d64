package tidy

import (
	"fmt"
	"slices"
	"strings"
)

// A rule is checked against the whole tree. A rule about packages that do not exist yet
// finds nothing.
type rule struct {
	name string
	// why is printed with every breach: a rule nobody understands is a rule nobody keeps.
	why   string
	check func([]pkg) []breach
}

// breach is one place where a rule does not hold.
type breach struct {
	place string // a package, or file:line
	what  string
}

func (b breach) String() string { return b.place + ": " + b.what }

// rules are all of them, in the order of the house's reasons.
var rules = []rule{
	{"the vocabulary stands alone",
		"pkg/ha and pkg/crm are what everything else is built of and judged by. A world they import is a world every test of theirs must bring along.",
		standsAlone},
	{"what decides is pure",
		"A decision that reads the clock, waits or runs beside others cannot be computed twice with the same result: stories, properties and the replay of a seed depend on it. Time is a value, Snapshot.At.",
		pure},
	{"agent and coordinator never meet",
		"They are two programs on two machines, of two versions during an upgrade. What they share is pkg/, and pkg/ must not know either.",
		neverMeet},
	{"every dependency has one home",
		"A library with one home can be replaced, upgraded and understood in one place; its types stop at that package's door. New dependency: give it a home in rules_test.go and say why it is worth having.",
		oneHome},
	{"messages stop at pkg/rpc",
		"Protobuf's types are made for the network: no value semantics, everything optional, renamed at its whim. The core speaks pkg/ha; one package converts, both ways.",
		messagesStop},
	{"the agent stays small",
		"psw-agent runs as root on every hypervisor. A Proxmox client or a database in it is attack surface and memory that nothing on a node needs.",
		agentSmall},
	{"the operator's command is a client",
		"psw sees what the coordinator shows it. A command that opened the store or asked Proxmox itself would decide on facts the coordinator does not have. coordinator/forecast is allowed: it is pure, it only tells, and saved facts must be answered without any coordinator, by the same code.",
		client},
	{"nothing ships from e2e",
		"The simulator must be unable to reach production: this one line keeps it out.",
		noWorlds},
	{"the simulator shares no types with us",
		"A simulator that shares our types shares our mistakes. pkg/crm is the exception, because Proxmox's own regression suite judges it.",
		simulatorApart},
	{"only programs touch the process",
		"Arguments, environment, signals and exit belong to COMPONENT/cmd/BINARY. Everything below takes values and returns errors, so that tests and the lab can run it many times in one process.",
		onlyPrograms},
	{"every package says what it keeps",
		"The comment is where a reader decides whether to read on: what the package is for, and what secret it keeps.",
		documented},
	{"no attics",
		"util, helper and common say nothing and so attract everything. A helper lives with its one user; at two users it earns a real name.",
		noAttics},
}

// pureImports is the allow-list of the vocabulary: packages without I/O, clock or state.
var pureImports = []string{"cmp", "errors", "fmt", "iter", "maps", "math", "net/netip", "slices", "strconv", "strings", "time"}

// vocabulary are the packages nothing else stands below, deciders those that judge and
// plan with it.
var (
	vocabulary = []string{"pkg/ha", "pkg/crm"}
	deciders   = []string{"pkg/check", "coordinator/planner", "coordinator/forecast", "coordinator/incident"}
)

func standsAlone(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		allowed := pureImports
		switch {
		case slices.Contains(vocabulary, p.ImportPath):
		case slices.Contains(deciders, p.ImportPath):
			allowed = slices.Concat(pureImports, vocabulary, []string{"path"})
		default:
			continue
		}
		for _, i := range p.Imports {
			if !slices.Contains(allowed, i) {
				found = append(found, breach{p.ImportPath, "imports " + i + "; it may import " + strings.Join(allowed, " ")})
			}
		}
	}
	return found
}

func neverMeet(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		var strangers []string
		switch {
		case p.under("agent"):
			strangers = []string{"coordinator"}
		case p.under("coordinator"):
			strangers = []string{"agent"}
		case p.under("pkg"):
			strangers = []string{"agent", "coordinator"}
		}
		for _, s := range strangers {
			for _, d := range unique(p.Deps, p.TestImports, p.XTestImports) {
				if under(d, s) {
					found = append(found, breach{p.ImportPath, "depends on " + d})
				}
			}
		}
	}
	return found
}

// mains stands for every COMPONENT/cmd/BINARY in homes.
const mains = "*/cmd/*"

// homes names, for every third-party module (or part of one), the packages that may
// import it. Tests may use any of them: they work with the real parts.
var homes = []home{
	{"github.com/luthermonson/go-proxmox", []string{"coordinator/pve"}},
	{"go.etcd.io/bbolt", []string{"coordinator/store"}},
	{"github.com/hashicorp/memberlist", []string{"pkg/gossip"}},
	{"github.com/hashicorp/go-sockaddr", []string{"pkg/gossip"}}, // memberlist's own
	{"google.golang.org/grpc", []string{"pkg/rpc", "proto/psw/ha/v1"}},
	{"google.golang.org/protobuf", []string{"pkg/rpc", "proto/psw/ha/v1"}},
	{"google.golang.org/genproto/googleapis/rpc", []string{"pkg/rpc", "proto/psw/ha/v1"}},
	{"github.com/goccy/go-yaml", []string{"pkg/project"}},
	{"github.com/spf13/cobra", []string{"coordinator/cli", mains}},
	{"github.com/spf13/pflag", []string{"coordinator/cli", mains}}, // cobra's flags
	{"golang.org/x/term", []string{"coordinator/cli"}},
	{"golang.org/x/sys", []string{"agent/probe"}},
	{"github.com/prometheus/procfs", []string{"agent/probe"}},
	{"github.com/prometheus/client_golang", []string{"coordinator/metrics"}}, // the agent writes its page by hand: docs/decisions/0010
	{"github.com/coreos/go-systemd/v22", []string{mains}},
	{"github.com/google/go-cmp", nil}, // tests only
	{"pgregory.net/rapid", nil},       // tests only
}

func oneHome(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		for _, i := range unique(p.allImports()) {
			if !thirdParty(i) {
				continue
			}
			k := slices.IndexFunc(homes, func(h home) bool { return under(i, h.module) })
			switch {
			case k < 0:
				found = append(found, breach{p.ImportPath, "imports " + i + ", which has no home"})
			case !slices.Contains(p.Imports, i): // only its tests do
			case !homes[k].of(p):
				where := "only tests may import it"
				if len(homes[k].packages) > 0 {
					where = "its home is " + strings.Join(homes[k].packages, " and ")
				}
				found = append(found, breach{p.ImportPath, "imports " + i + "; " + where})
			}
		}
	}
	return found
}

// home is where a third-party module, or a part of one, may be imported.
type home struct {
	module   string
	packages []string
}

func (h home) of(p pkg) bool {
	return slices.Contains(h.packages, p.ImportPath) || slices.Contains(h.packages, mains) && p.isMain()
}

func messagesStop(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		if p.ImportPath == "pkg/rpc" || p.under("proto") {
			continue
		}
		for _, i := range unique(p.allImports()) {
			if under(i, "proto") {
				found = append(found, breach{p.ImportPath, "imports " + i})
			}
		}
	}
	return found
}

func agentSmall(tree []pkg) []breach {
	return dependsOn(tree, "agent", "github.com/luthermonson/go-proxmox", "go.etcd.io/bbolt")
}

func client(tree []pkg) []breach {
	server := []string{"coordinator/store", "coordinator/pve", "coordinator/planner", "github.com/luthermonson/go-proxmox", "go.etcd.io/bbolt"}
	found := slices.Concat(dependsOn(tree, "coordinator/cli", server...), dependsOn(tree, "coordinator/cmd/psw", server...))
	for _, p := range tree {
		if p.ImportPath == "coordinator/cli" && slices.Contains(p.Deps, "coordinator") {
			found = append(found, breach{p.ImportPath, "depends on coordinator"})
		}
	}
	return found
}

// dependsOn finds packages in or below folder that depend, directly or not, on one of
// the forbidden ones.
func dependsOn(tree []pkg, folder string, forbidden ...string) []breach {
	var found []breach
	for _, p := range tree {
		if !p.under(folder) {
			continue
		}
		for _, f := range forbidden {
			if k := slices.IndexFunc(p.Deps, func(d string) bool { return under(d, f) }); k >= 0 {
				found = append(found, breach{p.ImportPath, "depends on " + p.Deps[k]})
			}
		}
	}
	return found
}

func noWorlds(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		if p.under("e2e") {
			continue
		}
		for _, d := range p.Deps {
			if under(d, "e2e") {
				found = append(found, breach{p.ImportPath, "depends on " + d})
			}
		}
	}
	return found
}

func simulatorApart(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		if !p.under("e2e/pvesim") {
			continue
		}
		for _, i := range p.Imports {
			if thirdParty(i) || ours(i) && i != "pkg/crm" && !under(i, "e2e/pvesim") {
				found = append(found, breach{p.ImportPath, "imports " + i + "; it may import the standard library and pkg/crm"})
			}
		}
	}
	return found
}

func documented(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		want := "Package " + p.Name
		if p.Name == "main" {
			want = "Command " + p.ImportPath[strings.LastIndex(p.ImportPath, "/")+1:]
		}
		switch doc := p.comment(); {
		case doc == "":
			found = append(found, breach{p.ImportPath, fmt.Sprintf("has no package comment; begin one with %q", want)})
		case !strings.HasPrefix(doc, want+" ") && !strings.HasPrefix(doc, want+"_test "):
			found = append(found, breach{p.ImportPath, fmt.Sprintf("its package comment does not begin with %q", want)})
		}
	}
	return found
}

// comment is the package comment; that of a test file if there is nothing but tests.
func (p pkg) comment() string {
	if p.Doc != "" || len(p.GoFiles)+len(p.CgoFiles) > 0 {
		return p.Doc
	}
	for _, f := range p.files {
		if f.ast.Doc != nil {
			return f.ast.Doc.Text()
		}
	}
	return ""
}

var attics = []string{"util", "utils", "helper", "helpers", "common", "misc", "shared"}

func noAttics(tree []pkg) []breach {
	var found []breach
	for _, p := range tree {
		for _, word := range append(strings.Split(p.ImportPath, "/"), p.Name) {
			if slices.Contains(attics, word) {
				found = append(found, breach{p.ImportPath, "is called " + word})
				break
			}
		}
	}
	return found
}

func unique(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}
