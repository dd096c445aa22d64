package pvesim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// says fails unless a call ends with that status and a reason that holds the words.
func (l *lab) says(node, method, path, form string, code int, words string) {
	l.t.Helper()
	if a := l.call(node, method, path, form); a.code != code || !strings.Contains(a.reason+a.body, words) {
		l.t.Errorf("%s %s %s: %d %s %s; want %d and %q", method, path, form, a.code, a.reason, a.body, code, words)
	}
}

// A PVE 8 has groups and no rules, and knows neither a resource's failback nor purge. A guest
// goes where its group's priorities say.
func TestPVE8HasGroups(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Version = "8.4.14"
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1", Running: true}, {ID: 101, Node: "pve1", Running: true}}
	}, func(l *lab) {
		l.says("pve1", "GET", "/cluster/ha/rules", "", 501, "not implemented")
		l.says("pve1", "POST", "/cluster/ha/status/arm-ha", "", 501, "not implemented")
		l.says("pve1", "POST", "/cluster/ha/resources", "sid=vm:100&failback=0", 400, "failback")
		l.says("pve1", "POST", "/cluster/ha/resources", "sid=vm:100&group=grp", 500, "no such ha group 'grp'")
		l.says("pve1", "POST", "/cluster/ha/groups", "group=grp&nodes=pve2:2,pve3:1&restricted=1&nofailback=1&comment=ours", 200, "null")
		l.says("pve1", "POST", "/cluster/ha/groups", "group=grp&nodes=pve2", 500, "already defined")
		l.says("pve1", "POST", "/cluster/ha/groups", "group=grp2&nodes=pve2&strict=1", 400, "strict")
		var g struct {
			Group, Nodes, Comment, Digest string
			Restricted, Nofailback        int
		}
		l.data("pve2", "GET", "/cluster/ha/groups/grp", "", &g)
		if g.Nodes != "pve2:2,pve3:1" || g.Restricted != 1 || g.Nofailback != 1 || g.Comment != "ours" {
			t.Errorf("the group is %+v", g)
		}
		l.data("pve1", "POST", "/cluster/ha/resources", "sid=vm:100&group=grp", nil)
		l.until(3*time.Minute, "vm:100 to be where its group wants it", func() bool { return l.runs("vm:100") == "pve2" })
		l.says("pve1", "DELETE", "/cluster/ha/groups/grp", "", 500, "is used by")
		l.says("pve1", "PUT", "/cluster/ha/groups/grp", "nodes=pve3&digest="+strings.Repeat("0", 40), 500, "detected modified configuration")
		l.data("pve1", "PUT", "/cluster/ha/groups/grp", "nodes=pve3&digest="+g.Digest, nil)
		l.until(3*time.Minute, "vm:100 to be where its group wants it now", func() bool { return l.runs("vm:100") == "pve3" })
		l.says("pve1", "DELETE", "/cluster/ha/resources/vm:100?purge=1", "", 400, "purge")
		l.data("pve1", "DELETE", "/cluster/ha/resources/vm:100", "", nil)
		l.data("pve1", "DELETE", "/cluster/ha/groups/grp", "", nil)
	})
}

// A PVE 9 goes by the groups it has until they are rules; until then no rule can be written,
// and without groups their calls are refused.
func TestPVE9WithAndWithoutGroups(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1", Running: true}}
		s.Groups = []pvesim.GroupSpec{{ID: "grp", Nodes: []string{"pve1"}}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100", Options: map[string]string{"group": "grp"}}}
		s.Nodes[2].Version = "8.4.14" // groups stay until the last node is a 9
	}, func(l *lab) {
		const rule = "rule=rule1&type=node-affinity&resources=vm:100&nodes=pve1"
		l.says("pve1", "POST", "/cluster/ha/rules", rule, 500, "not been migrated")
		l.says("pve1", "PUT", "/cluster/ha/groups/grp", "comment=still", 200, "null")
		l.Upgrade("pve3", pvesim.PVEVersion)
		l.until(6*time.Minute, "the end of the groups", func() bool { return l.call("pve1", "GET", "/cluster/ha/groups", "").code == 500 })
		for _, call := range [][2]string{{"POST", "group=other&nodes=pve1"}, {"GET", ""}} {
			l.says("pve1", call[0], "/cluster/ha/groups", call[1], 500, "ha groups have been migrated to rules")
		}
		l.says("pve1", "PUT", "/cluster/ha/resources/vm:100", "group=grp", 500, "ha groups have been migrated to rules")
	})
}
