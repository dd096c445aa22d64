package planner

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
