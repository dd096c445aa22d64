package pvesim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// The recordings of a maintenance, a power cut and a partition, as polled every 5 s from a
// real cluster: what changed, and when. The simulator must go through the same states in
// the same order, each within a round of 10 s and a poll of 5 s of the recorded moment.

const timelineTolerance = 15 * time.Second

// change is a value that something shown by the API took.
type change struct {
	at    time.Duration
	value string
}

// timeline is how each thing changed over time, in seconds since the deed.
type timeline map[string][]change

func (l timeline) see(at time.Duration, key, value string) {
	list := l[key]
	if len(list) > 0 && list[len(list)-1].value == value || len(list) == 0 && value == "" {
		return
	}
	l[key] = append(list, change{at, value})
}

// recordedTimeline reads a timeline and when before it the master's last pass was.
func recordedTimeline(t *testing.T, name string) (timeline, time.Duration) {
	t.Helper()
	b, err := os.ReadFile("testdata/timelines.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		Pass   float64
		Events [][3]any
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	l := timeline{}
	for _, e := range all[name].Events {
		l.see(seconds(e[0].(float64)), e[1].(string), e[2].(string))
	}
	return l, seconds(all[name].Pass)
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// look notes what a node's API shows now.
func (l *lab) look(node string, at time.Duration, into timeline, withManager bool) {
	l.t.Helper()
	var rows []map[string]any
	l.data(node, "GET", "/cluster/ha/status/current", "", &rows)
	for _, r := range rows {
		switch r["type"] {
		case "service":
			into.see(at, fmt.Sprint(r["sid"]), fmt.Sprint(r["node"], " ", r["state"]))
		case "lrm", "master":
			text := between(fmt.Sprint(r["status"]), "(", ")")
			into.see(at, fmt.Sprint(r["id"]), text[:strings.LastIndex(text, ",")])
		case "fencing":
			into.see(at, "fencing", fmt.Sprint(r["armed-state"]))
		case "quorum":
			into.see(at, "quorum", fmt.Sprint(r["quorate"]))
		}
	}
	if !withManager {
		return
	}
	m := l.manager(node)
	for n, state := range m.Status.Nodes {
		into.see(at, "node "+n, state)
	}
	for sid, s := range m.Status.Services {
		into.see(at, "fallback "+sid, s.Maintenance)
	}
}

func (l *lab) matches(what string, ours, theirs timeline) {
	l.t.Helper()
	keys := slices.Collect(maps.Keys(theirs))
	for k := range ours {
		if _, ok := theirs[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		a, b := ours[k], theirs[k]
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			d := a[i].at - b[i].at
			same = a[i].value == b[i].value && max(d, -d) <= timelineTolerance
		}
		if !same {
			l.t.Errorf("%s: %s\n  is %v\nwant %v", what, k, a, b)
		}
	}
}

// align waits until the master's last pass is as long ago as it was in the recording.
func (l *lab) align(pass time.Duration) {
	l.t.Helper()
	stamp := func() (s int64) {
		var m struct {
			Status struct{ Timestamp int64 } `json:"manager_status"`
		}
		l.data("pve2", "GET", "/cluster/ha/status/manager_status", "", &m)
		return m.Status.Timestamp
	}
	for old := stamp(); stamp() == old; {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(-pass)
}

// follow tells the recorded story again: do is called at its moments, and what node shows
// is compared.
func (l *lab) follow(name, node string, length time.Duration, withManager bool, deeds []deed) {
	l.t.Helper()
	theirs, pass := recordedTimeline(l.t, name)
	l.align(pass)
	begin, ours := time.Now(), timeline{}
	for time.Since(begin) <= length {
		for len(deeds) > 0 && deeds[0].at <= time.Since(begin).Seconds() {
			deeds[0].do()
			deeds = deeds[1:]
		}
		l.look(node, time.Since(begin), ours, withManager)
		time.Sleep(time.Second)
	}
	l.matches(name, ours, theirs)
}

func TestTimelinesOfTheRecordings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := sixGuests(t)
		l.follow("maintenance", "pve1", 263*time.Second, true, []deed{
			{11, func() { l.command("pve1", "node-maintenance enable pve2") }},
			// A move against the strict rule, and one onto the node in maintenance.
			{124.2, func() { l.data("pve1", "POST", "/cluster/ha/resources/vm:103/migrate", "node=pve1", nil) }},
			{124.3, func() { l.data("pve1", "POST", "/cluster/ha/resources/vm:104/migrate", "node=pve2", nil) }},
			{137, func() { l.command("pve1", "node-maintenance disable pve2") }},
		})
		l.disarmAndArm()
		l.data("pve1", "POST", "/cluster/ha/resources/vm:100/migrate", "node=pve3", nil)
		l.data("pve1", "POST", "/cluster/ha/resources/vm:101/migrate", "node=pve3", nil)
		time.Sleep(2 * time.Minute)
		l.follow("power cut", "pve1", 195*time.Second, true, []deed{{0, func() { l.PowerOff("pve3") }}})
		l.PowerOn("pve3")
		time.Sleep(5 * time.Minute)

		// Both sides of the partition are watched: that of pve1 until its watchdog resets it.
		theirs, pass := recordedTimeline(t, "partition, minority")
		l.align(pass)
		begin, ours, majority := time.Now(), timeline{}, timeline{}
		for time.Since(begin) < 142*time.Second {
			l.look("pve2", time.Since(begin), majority, false)
			if time.Since(begin) < time.Second {
				l.look("pve1", time.Since(begin), ours, false)
				l.Partition([]string{"pve1"}, []string{"pve2", "pve3"})
			} else if l.Up("pve1") {
				l.look("pve1", time.Since(begin), ours, false)
			}
			time.Sleep(time.Second)
		}
		l.matches("partition, minority", ours, theirs)
		theirs, _ = recordedTimeline(t, "partition, majority")
		l.matches("partition, majority", majority, theirs)
		l.noDoubleRun()
	})
}

// disarmAndArm does so in both modes, as was done in the recording, and compares what was
// shown. It also ends the maintenance state of an LRM that never got empty.
func (l *lab) disarmAndArm() {
	l.t.Helper()
	all := recorded(l.t, "testdata/series2.jsonl.gz")
	r := &replay{lab: l, tokens: map[string]string{"root": "PVEAPIToken=root@pam!lab=" + secret}}
	const shown = "(ha-status|manager-status|cluster-status|ha-resources|ha-rules)"
	for _, mode := range []string{"freeze", "ignore"} {
		l.data("pve1", "POST", "/cluster/ha/status/disarm-ha", "resource-mode="+mode, nil)
		time.Sleep(35 * time.Second)
		r.scene(all, "disarmed-"+mode+"-"+shown)
		l.data("pve1", "POST", "/cluster/ha/status/arm-ha", "", nil)
		if mode == "freeze" {
			time.Sleep(7700 * time.Millisecond)
		}
	}
	time.Sleep(19 * time.Second)
	r.scene(all, "rearmed-"+shown)
}

// sixGuests is the cluster of the recording: six virtual machines under HA on pve2, two
// that never fail back, one that prefers pve2, one that is bound to it, and a pair.
func sixGuests(t *testing.T) *lab {
	spec := threeNodes()
	spec.Nodes = []pvesim.NodeSpec{{Name: "pve1"}, {Name: "pve3"}, {Name: "pve2"}}
	spec.Guests = []pvesim.GuestSpec{
		{ID: 100, Node: "pve1", Running: true}, {ID: 101, Node: "pve2", Running: true}, {ID: 102, Node: "pve3", Running: true},
		{ID: 103, Node: "pve2", Running: true}, {ID: 104, Node: "pve2", Running: true}, {ID: 105, Node: "pve2", Running: true},
		{ID: 150, Node: "pve3", Running: true},
	}
	spec.Rules = []pvesim.RuleSpec{
		{ID: "strict2", Type: "node-affinity", Resources: []string{"vm:103"}, Nodes: []string{"pve2"}, Strict: true},
		{ID: "pair", Type: "resource-affinity", Resources: []string{"vm:104", "vm:105"}, Affinity: "positive"},
	}
	// 512 MiB took 12 s and more there, with slow preparations.
	spec.Options.Timing = pvesim.Timing{MigrateRate: 512 << 20 / 14, MigrateBase: 6 * time.Second}
	l := start(t, spec)
	time.Sleep(1500 * time.Millisecond) // pve3's CRM is the next to look for work
	for _, sid := range []string{"vm:100", "vm:101"} {
		l.data("pve1", "POST", "/cluster/ha/resources", "failback=0&max_restart=1&max_relocate=1&state=started&sid="+sid, nil)
	}
	for _, sid := range []string{"vm:102", "vm:103", "vm:104", "vm:105"} {
		l.data("pve1", "POST", "/cluster/ha/resources", "sid="+sid, nil)
	}
	l.data("pve1", "POST", "/cluster/ha/rules", "rule=prefer2&type=node-affinity&resources=vm:102&nodes=pve2&strict=0", nil)
	time.Sleep(time.Minute)
	l.data("pve1", "POST", "/cluster/ha/resources/vm:100/migrate", "node=pve2", nil)
	time.Sleep(2 * time.Minute)
	return l
}
