package vm

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Lab is one story's cluster: three nodes with agents, an NFS server, and a coordinator.
// Its methods end the story when what they do cannot be done.
type Lab struct {
	t   testing.TB
	rig *Rig
	c   *conductor
}

// tellWhy prints what one wants to read of a story that failed.
func (l *Lab) tellWhy() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, m := range l.rig.machines {
		if !m.running() {
			l.t.Logf("%s does not run", m.name)
			continue
		}
		out, err := m.run(ctx, "uptime; corosync-quorumtool -s & sleep 2; kill $! 2>/dev/null; journalctl -b --no-pager -o short-precise -n 40 -u psw-agent -u corosync -u watchdog-mux -u pve-ha-lrm -u lab-nas; true")
		l.t.Logf("--- %s (%v)\n%s", m.name, err, out)
	}
	l.t.Log(l.rig.consoles())
	if l.c != nil {
		log, _ := os.ReadFile(l.c.log)
		l.t.Logf("--- coordinator's log\n%s", lastLines(log))
	}
}

func (l *Lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// View is everything at one instant: what agents reported, and what is judged of it.
type View struct {
	ha.Snapshot
	ha.Readiness
}

// Report is a node's newest report.
func (v View) Report(node string) (ha.Report, bool) { return v.Snapshot.Report(ha.NodeName(node)) }

// Finding is what a check says of a subject.
func (v View) Finding(code ha.Code, subject string) (ha.Finding, bool) {
	k := slices.IndexFunc(v.Findings, func(f ha.Finding) bool { return f.Code == code && f.Subject == subject })
	if k < 0 {
		return ha.Finding{}, false
	}
	return v.Findings[k], true
}

// Link is the link of a number from a node to a peer, as the node reports it.
func (v View) Link(node, peer string, number int) (ha.Link, bool) {
	r, _ := v.Report(node)
	k := slices.IndexFunc(r.Corosync.Links, func(l ha.Link) bool { return string(l.Peer) == peer && l.Number == number })
	if k < 0 {
		return ha.Link{}, false
	}
	return r.Corosync.Links[k], true
}

// SharedMount is the shared storage as a report has it.
func SharedMount(r ha.Report) (ha.Mount, bool) {
	k := slices.IndexFunc(r.Mounts, func(m ha.Mount) bool { return m.Path == sharedPath })
	if k < 0 {
		return ha.Mount{}, false
	}
	return r.Mounts[k], true
}

// Whole returns what a node that reports misses of a quorate cluster of three, or nothing.
func (v View) Whole() string {
	var why []string
	for _, r := range v.Reports {
		if not := v.WholeOn(string(r.Node)); not != "" {
			why = append(why, not)
		}
	}
	return strings.Join(why, "; ")
}

// WholeOn is Whole as one node sees it.
func (v View) WholeOn(node string) string {
	r, _ := v.Report(node)
	if len(r.Corosync.Members) != len(nodeNames) || !r.Corosync.Quorate {
		reason, _ := r.Failed(ha.ProbeCorosync)
		return fmt.Sprintf("%s sees members %v, quorate %t %s", node, r.Corosync.Members, r.Corosync.Quorate, reason)
	}
	return ""
}

// Member is gossip's opinion of a node.
func (v View) Member(node string) ha.MemberState {
	k := slices.IndexFunc(v.Members, func(m ha.Member) bool { return string(m.Name) == node })
	if k < 0 {
		return ""
	}
	return v.Members[k].State
}

// Look looks once.
func (l *Lab) Look() View {
	l.t.Helper()
	v, err := l.look(l.t.Context())
	l.must(err)
	return v
}

func (l *Lab) look(ctx context.Context) (v View, err error) {
	if v.Snapshot, err = l.c.Facts(ctx, policy()); err != nil {
		return v, err
	}
	v.Readiness, err = l.c.Check(ctx, ha.CheckRequest{Policy: policy(), Profile: "production"})
	return v, err
}

// lookEvery is how often Await looks: often enough for its figures to mean something.
const lookEvery = 250 * time.Millisecond

// slack is by how much more is waited than a story asks for. Stories ask for what a machine
// needs that has nothing else to do; on one that has, without KVM, everything takes longer,
// and a figure that is too large is printed, not failed.
const slack = 4

// Await looks until something holds, says how long that took, and returns it. holds
// returns why not yet, or nothing.
func (l *Lab) Await(what string, limit time.Duration, holds func(View) string) time.Duration {
	l.t.Helper()
	var last View
	return l.watch(what, limit, func(ctx context.Context) string {
		v, err := l.look(ctx)
		if err != nil {
			return err.Error()
		}
		last = v
		return holds(v)
	}, func() string { return last.faults() })
}

// AwaitEach waits until each of several things was seen to hold, not necessarily all at
// once: on a machine that is slow enough some tool on some node has always just failed to
// answer in time, and agents say so.
func (l *Lab) AwaitEach(what string, limit time.Duration, each map[string]func(View) string) time.Duration {
	l.t.Helper()
	left := maps.Clone(each)
	return l.Await(what, limit, func(v View) string {
		var why []string
		for name, holds := range left {
			if not := holds(v); not != "" {
				why = append(why, name+": "+not)
			} else {
				delete(left, name)
			}
		}
		slices.Sort(why)
		return strings.Join(why, "\n")
	})
}

// Watch is Await for what no agent reports.
func (l *Lab) Watch(what string, limit time.Duration, holds func() string) time.Duration {
	l.t.Helper()
	return l.watch(what, limit, func(context.Context) string { return holds() }, func() string { return "" })
}

func (l *Lab) watch(what string, limit time.Duration, holds func(context.Context) string, rest func() string) time.Duration {
	l.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.t.Context(), slack*limit)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	why := "it was never looked at"
	for {
		now := holds(ctx)
		if now == "" {
			took := time.Since(began)
			l.t.Logf("%6.1f s  %s", took.Seconds(), what)
			return took
		}
		if ctx.Err() == nil {
			why = now
		}
		select {
		case <-ctx.Done():
			l.t.Fatalf("%s: not within %s: %s\n%s", what, slack*limit, why, rest())
		case <-tick.C:
		}
	}
}

// AwaitFinding waits for a check to say something of a subject, and returns what it says.
func (l *Lab) AwaitFinding(code ha.Code, subject string, status ha.Status, limit time.Duration) ha.Finding {
	l.t.Helper()
	var found ha.Finding
	l.Await(fmt.Sprintf("%s of %s is %s", code, subject, status), limit, func(v View) string {
		f, ok := v.Finding(code, subject)
		if !ok {
			return "there is no such finding"
		}
		if f.Status != status {
			return fmt.Sprintf("it is %s %s: %s", f.Status, f.Because, f.Evidence)
		}
		found = f
		return ""
	})
	l.t.Logf("          %s: %s", found.Code, found.Evidence)
	return found
}

// faults are the findings that are not passed.
func (v View) faults() string {
	var b strings.Builder
	for _, f := range v.Findings {
		if f.Status != ha.Pass && f.Status != ha.Skip {
			fmt.Fprintf(&b, "%s %s [%s] %s\n", f.Status, f.Subject, f.Code, f.Evidence)
		}
	}
	for _, r := range v.Reports {
		for _, p := range r.Failures {
			fmt.Fprintf(&b, "%s could not look: %s: %s\n", r.Node, p.Probe, p.Reason)
		}
	}
	return b.String()
}
