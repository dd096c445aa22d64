package planner

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var update = flag.Bool("update", false, "rewrite the expected answers of the stories")

// A story is a script with the answers expected of it, in one file: a command, a line
// "----", the answer, an empty line. Only commit a changed answer if you understand what
// changed it.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(raw))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(raw) {
				t.Errorf("the story goes differently (-update rewrites it):\n%s", lineDiff(string(raw), got))
			}
		})
	}
}

// tell runs a story and returns it with the answers it gave.
func tell(t *testing.T, script string) string {
	var out bytes.Buffer
	st := newStory()
	var cmds []string
	answering := false
	flush := func() {
		if len(cmds) == 0 {
			return
		}
		var answer strings.Builder
		for _, c := range cmds {
			answer.WriteString(st.do(t, c))
		}
		if answer.Len() == 0 {
			answer.WriteString("ok\n")
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n", strings.Join(cmds, "\n"), answer.String())
		cmds = nil
	}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
			flush()
			fmt.Fprintln(&out, line)
		case line == "----":
			answering = true
		case line == "":
			if answering || len(cmds) > 0 {
				flush()
				answering = false
			} else if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n\n")) {
				fmt.Fprintln(&out)
			}
		case !answering:
			cmds = append(cmds, line)
		}
	}
	flush()
	return strings.TrimRight(out.String(), "\n") + "\n"
}

type story struct {
	s        ha.Snapshot
	m        ha.Maintenance
	o        ha.Operation
	plan     ha.Plan
	reported map[ha.NodeName]bool
}

func newStory() *story {
	return &story{
		s: ha.Snapshot{
			At: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC),
			Inventory: ha.Inventory{Cluster: ha.Cluster{Name: "home", Quorate: true},
				HA:      ha.HAStatus{Quorate: true, Armed: "armed", Master: "node1"},
				Options: ha.Options{MaxWorkers: 2},
			},
		},
		reported: make(map[ha.NodeName]bool),
	}
}

// do carries out one line of a story and returns what it answers.
func (st *story) do(t *testing.T, line string) string {
	f := strings.Fields(line)
	switch f[0] {
	case "nodes":
		st.nodes(t, f[1:])
	case "guest":
		st.guest(t, f[1:])
	case "storage":
		st.storage(f[1], f[2:])
	case "rule":
		st.rule(t, f[1:])
	case "self":
		st.s.Coordinator.Guest = sid(t, f[1])
	case "later":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		st.s.At = st.s.At.Add(d)
	case "quorum":
		st.s.Inventory.Cluster.Quorate = f[1] == "regained"
	case "silent":
		st.reported[ha.NodeName(f[1])] = false
	case "speaks":
		st.reported[ha.NodeName(f[1])] = true
	case "offline", "online":
		st.power(ha.NodeName(f[1]), f[0] == "online")
	case "ha":
		st.haNode(ha.NodeName(f[1])).State = f[2]
		st.haNode(ha.NodeName(f[1])).MaintenanceRequested = f[2] == ha.NodeMaintenance
	case "arrives":
		st.arrive(t, sid(t, f[1]), ha.NodeName(f[2]))
	case "lags":
		// The process is there, the API and the HA manager do not know yet.
		st.process(sid(t, f[1]), ha.NodeName(f[2]))
	case "stops":
		st.process(sid(t, f[1]), "")
	case "starts":
		st.process(sid(t, f[1]), ha.NodeName(f[2]))
	case "moving":
		svc := st.service(sid(t, f[1]))
		svc.State, svc.Target, svc.Running = ha.ServiceMigrate, ha.NodeName(f[2]), false
	case "task":
		st.task(t, f[1:])
	case "nfs":
		st.nfs(ha.NodeName(f[1]), f[2] == "answers")
	case "state":
		st.service(sid(t, f[1])).State = f[2]
	case "fallback":
		st.service(sid(t, f[1])).MaintenanceNode = ha.NodeName(f[2])
	case "max_workers":
		st.s.Inventory.Options.MaxWorkers, _ = strconv.Atoi(f[1])
	case "preview":
		return st.preview(f[1:])
	case "start":
		return st.start(t, f[1:])
	case "end":
		st.m = st.m.Advance(ha.Restoring)
		st.m.RestoreAt = time.Time{}
	case "cancel":
		st.m.Cancelling = true
	case "tick":
		return st.tick(t)
	case "crash":
		// A coordinator that died between storing the intent and doing the deed.
		st.plan = ha.Plan{}
	default:
		answer, ok := st.register(t, f)
		if !ok {
			answer, ok = st.operate(t, f)
		}
		if !ok {
			t.Fatalf("unknown line in a story: %q", line)
		}
		return answer
	}
	return ""
}

func sid(t *testing.T, s string) ha.SID {
	v, err := ha.ParseSID(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// nodes node1:64 node2:64 …: names and GiB.
func (st *story) nodes(t *testing.T, f []string) {
	for k, s := range f {
		name, size, _ := strings.Cut(s, ":")
		mem, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		n := ha.NodeName(name)
		st.s.Inventory.Nodes = append(st.s.Inventory.Nodes, ha.Node{Name: n, ID: k + 1, Online: true, CPUs: 16, MemoryMax: int64(mem) << 30, MemoryUsed: 4 << 30})
		st.s.Inventory.HA.Nodes = append(st.s.Inventory.HA.Nodes, ha.HANode{Name: n, State: ha.NodeOnline, LRMState: "active", LRMMode: "active"})
		st.s.Reports = append(st.s.Reports, ha.Report{Node: n,
			System: ha.System{PmxcfsMounted: true, PmxcfsWritable: true, MemoryTotal: int64(mem) << 30},
			HA:     ha.LocalHA{LRMRunning: true, CRMRunning: true},
			Mounts: []ha.Mount{{Source: "nas:/pool", Path: "/mnt/shared", Type: "nfs4", Answering: true}},
		})
		st.reported[n] = true
	}
	st.storage("nfs", []string{"shared"})
	st.votes()
}

func (st *story) votes() {
	online := 0
	for _, n := range st.s.Inventory.Nodes {
		if n.Online {
			online++
		}
	}
	c := &st.s.Inventory.Cluster
	c.Votes, c.Expected = online, len(st.s.Inventory.Nodes)
	for k := range st.s.Reports {
		st.s.Reports[k].Corosync = ha.Corosync{Running: true, Quorate: true, Votes: online, Expected: c.Expected, Quorum: c.Expected/2 + 1}
	}
}

// storage NAME [shared]: on every node.
func (st *story) storage(name string, f []string) {
	s := ha.Storage{Name: name, Type: "dir"}
	if slices.Contains(f, "shared") {
		s.Type, s.Shared, s.Path = "nfs", true, "/mnt/shared"
	}
	for _, n := range st.s.Inventory.Nodes {
		s.On = append(s.On, ha.StorageOn{Node: n.Name, Available: true, Total: 1 << 40})
	}
	st.s.Inventory.Storages = append(st.s.Inventory.Storages, s)
	slices.SortFunc(st.s.Inventory.Storages, func(a, b ha.Storage) int { return strings.Compare(a.Name, b.Name) })
}

// guest SID NAME NODE GiB [ha] [pinned] [failback] [stopped] [foreign] [storage=S] [local=WHY] [mode=M]
func (st *story) guest(t *testing.T, f []string) {
	g := ha.Guest{SID: sid(t, f[0]), Name: f[1], Node: ha.NodeName(f[2]), Status: ha.GuestRunning}
	mem, err := strconv.Atoi(f[3])
	if err != nil {
		t.Fatal(err)
	}
	g.MemoryMax, g.MemoryUsed = int64(mem)<<30, int64(mem)<<29
	conf := ha.GuestConfig{SID: g.SID, Name: g.Name, Storages: []string{"nfs"}}
	target := ha.Target{Name: g.Name, Type: ha.TargetVM, Node: g.Node}
	if g.SID.Kind == ha.CT {
		target.Type = ha.TargetLXC
	}
	var managed, failback, foreign bool
	for _, o := range f[4:] {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "ha":
			managed, target.HA = true, true
		case "failback":
			failback = true
		case "foreign", "undeclared":
			foreign = true
		case "stopped":
			g.Status = ha.GuestStopped
		case "storage":
			conf.Storages = []string{val}
		case "local":
			conf.Local = []string{strings.ReplaceAll(val, "_", " ")}
		case "lock":
			conf.Lock = val
		case "mode":
			target.Maintenance = ha.MaintenanceMode(val)
		case "home":
			target.Node = ha.NodeName(val)
		default:
			t.Fatalf("guest: unknown option %q", o)
		}
	}
	inv := &st.s.Inventory
	inv.Guests = append(inv.Guests, g)
	slices.SortFunc(inv.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) })
	if !foreign {
		st.s.Policy.Targets = append(st.s.Policy.Targets, target)
		slices.SortFunc(st.s.Policy.Targets, func(a, b ha.Target) int { return strings.Compare(a.Name, b.Name) })
	}
	if managed {
		inv.Resources = append(inv.Resources, ha.Resource{SID: g.SID, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: failback})
		slices.SortFunc(inv.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
		svc := ha.HAService{SID: g.SID, Node: g.Node, State: ha.ServiceStarted, Running: true}
		if g.Status == ha.GuestStopped {
			svc.State, svc.Running = ha.ServiceStopped, false
		}
		inv.HA.Services = append(inv.HA.Services, svc)
		slices.SortFunc(inv.HA.Services, func(a, b ha.HAService) int { return a.SID.Compare(b.SID) })
	}
	r := st.report(g.Node)
	r.GuestConfigs = append(r.GuestConfigs, conf)
	r.Sort()
	if g.Status == ha.GuestRunning {
		st.process(g.SID, g.Node)
		st.node(g.Node).MemoryUsed += g.MemoryUsed
	}
}

// rule NAME node-affinity SID,SID node1:2,node2 [strict] | rule NAME positive|negative SID,SID
func (st *story) rule(t *testing.T, f []string) {
	r := ha.Rule{ID: f[0]}
	if f[1] == "gone" {
		st.s.Inventory.Rules = slices.DeleteFunc(st.s.Inventory.Rules, func(x ha.Rule) bool { return x.ID == r.ID })
		return
	}
	for s := range strings.SplitSeq(f[2], ",") {
		r.Resources = append(r.Resources, sid(t, s))
	}
	switch f[1] {
	case "positive", "negative":
		r.Type, r.Affinity = ha.ResourceAffinity, ha.Affinity(f[1])
	default:
		r.Type = ha.NodeAffinity
		for s := range strings.SplitSeq(f[3], ",") {
			n, p, _ := strings.Cut(s, ":")
			prio, _ := strconv.Atoi(p)
			r.Nodes = append(r.Nodes, ha.RuleNode{Node: ha.NodeName(n), Priority: prio})
		}
		r.Strict = slices.Contains(f, "strict")
	}
	for _, o := range f[3:] {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "disabled":
			r.Disabled = true
		case "comment":
			r.Comment = strings.ReplaceAll(val, "_", " ")
		case "errors":
			r.Errors = []string{strings.ReplaceAll(val, "_", " ")}
		}
	}
	st.s.Inventory.Rules = append(slices.DeleteFunc(st.s.Inventory.Rules, func(x ha.Rule) bool { return x.ID == r.ID }), r)
	slices.SortFunc(st.s.Inventory.Rules, func(a, b ha.Rule) int { return strings.Compare(a.ID, b.ID) })
}

func (st *story) node(n ha.NodeName) *ha.Node {
	return &st.s.Inventory.Nodes[slices.IndexFunc(st.s.Inventory.Nodes, func(x ha.Node) bool { return x.Name == n })]
}

func (st *story) haNode(n ha.NodeName) *ha.HANode {
	return &st.s.Inventory.HA.Nodes[slices.IndexFunc(st.s.Inventory.HA.Nodes, func(x ha.HANode) bool { return x.Name == n })]
}

func (st *story) report(n ha.NodeName) *ha.Report {
	return &st.s.Reports[slices.IndexFunc(st.s.Reports, func(x ha.Report) bool { return x.Node == n })]
}

func (st *story) service(s ha.SID) *ha.HAService {
	return &st.s.Inventory.HA.Services[slices.IndexFunc(st.s.Inventory.HA.Services, func(x ha.HAService) bool { return x.SID == s })]
}

func (st *story) power(n ha.NodeName, on bool) {
	st.node(n).Online = on
	st.reported[n] = on
	if !on {
		st.report(n).Running = nil
		st.haNode(n).State = ha.NodeUnknown
	} else {
		st.haNode(n).State = ha.NodeOnline
	}
	st.votes()
}

// process makes the guest run on node only; "" stops it.
func (st *story) process(s ha.SID, node ha.NodeName) {
	for k := range st.s.Reports {
		r := &st.s.Reports[k]
		r.Running = slices.DeleteFunc(r.Running, func(g ha.LocalGuest) bool { return g.SID == s })
		if r.Node == node {
			r.Running = append(r.Running, ha.LocalGuest{SID: s, PID: 1000 + s.ID})
		}
		r.Sort()
	}
}

// arrive puts the guest on node for everybody to see.
func (st *story) arrive(t *testing.T, s ha.SID, node ha.NodeName) {
	k := slices.IndexFunc(st.s.Inventory.Guests, func(g ha.Guest) bool { return g.SID == s })
	if k < 0 {
		t.Fatalf("no guest %s", s)
	}
	g := &st.s.Inventory.Guests[k]
	from := st.report(g.Node)
	if c, ok := from.GuestConfig(s); ok {
		from.GuestConfigs = slices.DeleteFunc(from.GuestConfigs, func(c ha.GuestConfig) bool { return c.SID == s })
		to := st.report(node)
		to.GuestConfigs = append(to.GuestConfigs, c)
		to.Sort()
	}
	if g.Status == ha.GuestRunning {
		st.node(g.Node).MemoryUsed -= g.MemoryUsed
		st.node(node).MemoryUsed += g.MemoryUsed
		st.process(s, node)
	}
	g.Node = node
	if _, ok := st.s.Inventory.HA.Service(s); ok {
		svc := st.service(s)
		svc.Node, svc.Target, svc.Running = node, "", true
		if g.Status == ha.GuestRunning {
			svc.State = ha.ServiceStarted
		}
	}
}

// task TYPE SID NODE [STATUS…]: without a status it runs.
func (st *story) task(t *testing.T, f []string) {
	s := sid(t, f[1])
	task := ha.Task{UPID: fmt.Sprintf("UPID:%s:%s:%d", f[2], f[0], s.ID), Node: ha.NodeName(f[2]), Type: f[0], ID: strconv.Itoa(s.ID), Started: st.s.At}
	if len(f) > 3 {
		task.Status, task.Ended = strings.Join(f[3:], " "), st.s.At
	}
	st.s.Inventory.Tasks = slices.Insert(slices.DeleteFunc(st.s.Inventory.Tasks, func(x ha.Task) bool { return x.UPID == task.UPID }), 0, task)
}

func (st *story) nfs(n ha.NodeName, answers bool) {
	st.report(n).Mounts[0].Answering = answers
	for k := range st.s.Inventory.Storages {
		s := &st.s.Inventory.Storages[k]
		for j := range s.On {
			if s.On[j].Node == n && s.Shared {
				s.On[j].Available = answers
			}
		}
	}
}

// look makes the snapshot of this instant.
func (st *story) look() ha.Snapshot {
	s := st.s
	s.Inventory.At = s.At
	s.Reports = slices.Clone(s.Reports)
	for k := range s.Reports {
		r := &s.Reports[k]
		if st.reported[r.Node] {
			r.Received = s.At
			st.report(r.Node).Received = s.At
		}
	}
	s.Maintenances = nil
	if st.m.ID != "" {
		s.Maintenances = []ha.Maintenance{st.m}
	}
	return s
}

func options(f []string) (ha.MaintenanceOptions, ha.NodeName) {
	var o ha.MaintenanceOptions
	for k, s := range f {
		switch s {
		case "--stop-pinned":
			o.StopPinned = true
		case "--leave-pinned":
			o.LeavePinned = true
		case "--allow-overcommit":
			o.AllowOvercommit = true
		case "--guest":
			o.Guests = append(o.Guests, ha.MustSID(f[k+1]))
		}
	}
	return o, ha.NodeName(f[0])
}

func (st *story) preview(f []string) string {
	o, node := options(f)
	var b strings.Builder
	v := PreviewDrain(ha.MaintenanceRequest{Node: node, Options: o}, st.look())
	for _, x := range v.Steps {
		to := string(x.To)
		if x.Chosen {
			to += " (Proxmox chooses)"
		}
		fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("%-8s %-8s %s => %s", x.Method, x.SID, x.From, to)))
	}
	for _, x := range v.Blockers {
		fmt.Fprintf(&b, "blocker %s %s: %s\n    fix: %s\n", x.Code, x.Subject, x.Reason, x.Fix)
	}
	for _, x := range v.Notices {
		fmt.Fprintf(&b, "notice  %s\n", x)
	}
	return b.String()
}

func (st *story) start(t *testing.T, f []string) string {
	o, node := options(f)
	v := PreviewDrain(ha.MaintenanceRequest{Node: node, Options: o}, st.look())
	if len(v.Blockers) > 0 {
		return st.preview(f)
	}
	st.m = ha.Maintenance{ID: "m1", Node: node, Phase: ha.Requested, Options: o, RequestedAt: st.s.At}
	return ""
}

func (st *story) tick(t *testing.T) string {
	var b strings.Builder
	before := st.m
	snap := st.look()
	st.m, st.plan = Step(st.m, snap)
	if st.m.Phase != before.Phase {
		fmt.Fprintf(&b, "phase %s => %s\n", before.Phase, st.m.Phase)
	}
	for k, mv := range st.m.Moves {
		if k < len(before.Moves) && before.Moves[k].Open() && !mv.Open() {
			switch {
			case mv.Failed != "":
				fmt.Fprintf(&b, "failed %s: %s\n", mv.SID, mv.Failed)
			case mv.Downtime > 0:
				fmt.Fprintf(&b, "done  %s, down for %s\n", mv.SID, mv.Downtime)
			default:
				fmt.Fprintf(&b, "done  %s\n", mv.SID)
			}
		}
	}
	for _, a := range st.plan.Actions {
		fmt.Fprintf(&b, "do    %s\n", a)
	}
	v := View(st.m, st.plan, snap)
	for _, x := range v.Waits {
		if x.Blocked {
			fmt.Fprintf(&b, "block %s\n      fix: %s\n", x, x.Fix)
		} else {
			fmt.Fprintf(&b, "wait  %s\n", x)
		}
	}
	if v.Safe {
		fmt.Fprintf(&b, "safe  %s may be powered off\n", st.m.Node)
	}
	st.s.At = st.s.At.Add(5 * time.Second)
	return b.String()
}

// lineDiff shows where two texts part.
func lineDiff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for k := range max(len(a), len(b)) {
		var x, y string
		if k < len(a) {
			x = a[k]
		}
		if k < len(b) {
			y = b[k]
		}
		if x != y {
			return fmt.Sprintf("line %d\n- %s\n+ %s\n\nwhole answer:\n%s", k+1, x, y, got)
		}
	}
	return "no difference"
}
