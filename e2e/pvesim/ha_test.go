package pvesim_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// crs sets the datacenter's scheduler options through the API.
func (l *lab) crs(options string) {
	l.t.Helper()
	l.data("pve1", "PUT", "/cluster/options", "crs="+url.QueryEscape(options), nil)
}

// unequal gives the nodes 8, 64 and 16 GiB.
func unequal(s *pvesim.Spec) {
	for k, gib := range []int64{8, 64, 16} {
		s.Nodes[k].Memory = gib << 30
	}
}

// A dead node's guest goes to the node with fewest services; with the static scheduler to
// the one with most room. The master says which it is.
func TestSchedulersRecoverOntoDifferentNodes(t *testing.T) {
	for scheduler, want := range map[string]string{"basic": "pve1", "static": "pve2", "dynamic": "pve2"} {
		t.Run(scheduler, func(t *testing.T) {
			story(t, func(s *pvesim.Spec) {
				unequal(s)
				for id := 100; id < 103; id++ { // pve2 has more guests and yet more room
					s.Guests = append(s.Guests, pvesim.GuestSpec{ID: id, Node: "pve2", Running: true})
				}
				s.Guests = append(s.Guests, pvesim.GuestSpec{ID: 110, Node: "pve3", Running: true, Memory: 4 << 30})
				s.Resources = []pvesim.ResourceSpec{{SID: "vm:110"}, {SID: "vm:100"}, {SID: "vm:101"}}
				s.Datacenter = map[string]string{"crs": "ha=" + scheduler}
			}, func(l *lab) {
				text := l.masterText()
				if said := strings.Contains(text, " - "+scheduler+" load CRS"); said != (scheduler != "basic") {
					l.t.Errorf("the master says %q", text)
				}
				l.PowerOff("pve3")
				l.until(5*time.Minute, "the recovery", func() bool { return l.runs("vm:110") != "" })
				if got := l.runs("vm:110"); got != want {
					l.t.Errorf("recovered on %s, want %s", got, want)
				}
			})
		})
	}
}

func (l *lab) masterText() string {
	l.t.Helper()
	var rows []struct{ ID, Status string }
	l.data("pve1", "GET", "/cluster/ha/status/current", "", &rows)
	for _, r := range rows {
		if r.ID == "master" {
			return r.Status
		}
	}
	return ""
}

// With rebalance on start a stopped guest is moved before it starts; one that runs when it
// comes under HA is left alone.
func TestRebalanceOnStart(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		unequal(s)
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1", Memory: 4 << 30}, {ID: 101, Node: "pve1", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100", State: "stopped"}}
	}, func(l *lab) {
		l.crs("ha=static,ha-rebalance-on-start=1")
		l.data("pve1", "PUT", "/cluster/ha/resources/vm:100", "state=started", nil)
		l.data("pve1", "POST", "/cluster/ha/resources", "sid=vm:101", nil)
		l.until(2*time.Minute, "the start", func() bool { return l.runs("vm:100") != "" })
		if got := l.runs("vm:100"); got != "pve2" {
			l.t.Errorf("started on %s", got)
		}
		if got := l.taskTypes("100"); got != "qmigrate qmstart" {
			l.t.Errorf("tasks: %s", got)
		}
		l.until(2*time.Minute, "HA to know the other", func() bool { return l.service("pve1", "vm:101") == "pve1 started" })
		if got := l.taskTypes("101"); got != "" {
			l.t.Errorf("a guest that runs was touched: %s", got)
		}
	})
}

// Automatic rebalancing spreads guests that are all on one node. Its threshold is read as a
// fraction although it is documented in percent: 30 means never.
func TestAutoRebalance(t *testing.T) {
	for threshold, moves := range map[string]bool{"0.3": true, "30": false} {
		t.Run(threshold, func(t *testing.T) {
			story(t, func(s *pvesim.Spec) {
				for id := 100; id < 106; id++ {
					s.Guests = append(s.Guests, pvesim.GuestSpec{ID: id, Node: "pve1", Running: true, Memory: 2 << 30})
					s.Resources = append(s.Resources, pvesim.ResourceSpec{SID: fmt.Sprintf("vm:%d", id)})
				}
				s.Datacenter = map[string]string{"crs": "ha=static,ha-auto-rebalance=1,ha-auto-rebalance-threshold=" + threshold}
			}, func(l *lab) {
				time.Sleep(15 * time.Minute)
				on := map[string]int{}
				for _, g := range l.Guests() {
					on[g.Running]++
				}
				if spread := on["pve1"] < 6; spread != moves {
					l.t.Errorf("guests per node: %v", on)
				}
			})
		})
	}
}

// A cluster that comes from PVE 8 has groups. They count as rules at once, and become rules
// when every node the manager knows is there.
func TestGroupsBecomeRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := threeNodes()
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1", Running: true}, {ID: 101, Node: "pve1", Running: true}}
		s.Groups = []pvesim.GroupSpec{
			{ID: "second", Nodes: []string{"pve2:2", "pve1"}, Restricted: true, NoFailback: true},
			{ID: "other", Nodes: []string{"pve2"}}, {ID: "unused", Nodes: []string{"pve3"}},
		}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100", Options: map[string]string{"group": "second"}}, {SID: "vm:101", Options: map[string]string{"group": "other"}}}
		l := start(t, s)
		time.Sleep(5 * time.Second) // the manager knows all nodes
		l.PowerOff("pve3")
		time.Sleep(2 * time.Minute)
		var groups []struct{ Group, Nodes string }
		l.data("pve1", "GET", "/cluster/ha/groups", "", &groups)
		if len(groups) != 3 || groups[0].Group != "second" {
			l.t.Errorf("groups while a node is away: %+v", groups)
		}
		if got := readFile(t, l.Host("pve1"), "etc/pve/ha/groups.cfg"); !strings.Contains(got, "group: second\n\tnodes pve2:2,pve1\n\tnofailback 1\n\trestricted 1\n") {
			t.Errorf("groups.cfg: %s", got)
		}
		if a, b := l.runs("vm:100"), l.runs("vm:101"); a != "pve1" || b != "pve2" {
			t.Errorf("the guest that does not fail back is on %s, the other on %s", a, b)
		}
		l.PowerOn("pve3")
		l.until(5*time.Minute, "the end of the groups", func() bool { return l.call("pve1", "GET", "/cluster/ha/groups", "").code == 500 })
		var rules []struct {
			Rule, Nodes, Resources string
			Strict                 int
		}
		l.data("pve1", "GET", "/cluster/ha/rules", "", &rules)
		if len(rules) != 2 || rules[0].Rule != "ha-group-second" || rules[0].Strict != 1 || rules[0].Nodes != "pve1,pve2:2" || rules[0].Resources != "vm:100" {
			l.t.Errorf("rules: %+v", rules)
		}
		var r map[string]any
		l.data("pve1", "GET", "/cluster/ha/resources/vm:100", "", &r)
		if r["group"] != nil || r["failback"] != 0.0 {
			l.t.Errorf("resource: %v", r)
		}
	})
}

// Disarming waits for what is moving, then freezes; the watchdogs are let go. Guests stay
// where they are when a node dies meanwhile.
func TestDisarmWaitsForAMigration(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true, Memory: 16 << 30}, {ID: 101, Node: "pve3", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "vm:101"}}
	}, func(l *lab) {
		l.data("pve1", "POST", "/cluster/ha/resources/vm:100/migrate", "node=pve1", nil)
		l.until(time.Minute, "the migration", func() bool { return l.service("pve1", "vm:100") == "pve2 migrate" })
		l.data("pve1", "POST", "/cluster/ha/status/disarm-ha", "resource-mode=freeze", nil)
		l.until(30*time.Second, "disarming", func() bool { return strings.Contains(l.masterText(), " - disarming, resource mode: freeze") })
		if got := l.service("pve1", "vm:101"); got != "pve3 started" {
			l.t.Errorf("while a guest moves the other is %s", got)
		}
		l.until(3*time.Minute, "disarmed", func() bool { return strings.Contains(l.masterText(), " - disarmed, resource mode: freeze") })
		if a, b := l.service("pve1", "vm:100"), l.service("pve1", "vm:101"); a != "pve1 freeze" || b != "pve3 freeze" {
			l.t.Errorf("disarmed: %s and %s", a, b)
		}
		l.PowerOff("pve3")
		time.Sleep(10 * time.Minute)
		if r := l.runs("vm:101"); r != "" || !l.Up("pve1") || !l.Up("pve2") {
			l.t.Errorf("a dead node's guest was started on %q although HA is disarmed", r)
		}
	})
}

// A result is published at the end of a round, up to 8 s after it is there, and not only in
// the next: a start that takes 5 s is known in the next round of the master.
func TestStartIsConfirmedSoon(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2"}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100", State: "stopped"}}
	}, func(l *lab) {
		l.data("pve1", "PUT", "/cluster/ha/resources/vm:100", "state=started", nil)
		l.until(30*time.Second, "the start", func() bool { return l.runs("vm:100") != "" })
		took := l.until(time.Minute, "it to be confirmed", func() bool { return l.manager("pve1").Status.Services["vm:100"].Running == 1 })
		if took > 12*time.Second {
			l.t.Errorf("confirmed after %v", took)
		}
	})
}
