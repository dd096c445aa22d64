package bench

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// ganetiText tells htools of the cluster in their text format: group, nodes, instances on
// external storage, tags that keep instances apart, policy.
func ganetiText(s ha.Snapshot) string {
	var b strings.Builder
	b.WriteString("group|uuid|preferred||\n\n")
	free := make(map[ha.NodeName]int64)
	for _, n := range s.Inventory.Nodes {
		free[n.Name] = n.MemoryMax - ha.HostReserve(n.MemoryMax)
	}
	for _, g := range s.Inventory.Guests {
		free[g.Node] -= g.MemoryMax
	}
	for k, n := range s.Inventory.Nodes {
		role := "N"
		if k == 0 {
			role = "M"
		}
		fmt.Fprintf(&b, "%s|%d|%d|%d|1048576|1048576|%d|%s|uuid|1||N|0|1|1.0\n", n.Name, n.MemoryMax/mib, ha.HostReserve(n.MemoryMax)/mib, free[n.Name]/mib, n.CPUs, role)
	}
	b.WriteString("\n")
	tags := make(map[ha.SID]string)
	for _, r := range s.Inventory.Rules {
		for _, sid := range r.Resources {
			tags[sid] = "apart:" + r.ID
		}
	}
	for _, g := range s.Inventory.Guests {
		fmt.Fprintf(&b, "%s|%d|1024|%.0f|running|Y|%s||ext|%s|1|1|N\n", g.Name, g.MemoryMax/mib, g.CPUs, g.Node, tags[g.SID])
	}
	const policy = "|128,1,1024,1,1,1|128,1,1024,1,1,1;1048576,64,1048576,16,8,12|diskless,file,sharedfile,plain,blockdev,drbd,rbd,ext,gluster|64.0|100000.0\n"
	b.WriteString("\nhtools:iextags:apart\n\n" + policy + "group" + policy)
	return b.String()
}

// ganetiDrained reads where hbal left everybody.
func ganetiDrained(s ha.Snapshot, path string, moves int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	at, left := places(s), 0
	for line := range strings.Lines(string(raw)) {
		if f := strings.Split(line, "|"); len(f) > 8 && f[4] == "running" {
			at[f[0]] = f[6]
		}
	}
	for _, n := range at {
		if n == "node001" {
			left++
		}
	}
	fullest, violations := quality(s, at)
	return drained(moves, left, fullest, violations)
}

// pacemakerXML tells Pacemaker of the cluster: memory as utilization, everybody running
// where they are, pairs kept apart, one node gone.
func pacemakerXML(s ha.Snapshot, lost ha.NodeName) []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0" have-quorum="1" dc-uuid="2"><configuration><crm_config><cluster_property_set id="o">`)
	for _, o := range [][2]string{{"stonith-enabled", "false"}, {"no-quorum-policy", "ignore"}, {"placement-strategy", "balanced"}, {"symmetric-cluster", "true"}} {
		p(`<nvpair id="o-%s" name="%s" value="%s"/>`, o[0], o[0], o[1])
	}
	p(`</cluster_property_set></crm_config><nodes>`)
	for _, n := range s.Inventory.Nodes {
		p(`<node id="%d" uname="%s"><utilization id="u-%s"><nvpair id="um-%s" name="memory" value="%d"/></utilization></node>`,
			n.ID, n.Name, n.Name, n.Name, (n.MemoryMax-ha.HostReserve(n.MemoryMax))/mib)
	}
	p(`</nodes><resources>`)
	on := make(map[ha.NodeName][]ha.Guest)
	for _, g := range s.Inventory.Guests {
		on[g.Node] = append(on[g.Node], g)
		p(`<primitive id="%s" class="ocf" provider="pacemaker" type="Dummy"><utilization id="u-%s"><nvpair id="um-%s" name="memory" value="%d"/></utilization>`+
			`<meta_attributes id="m-%s"><nvpair id="ms-%s" name="resource-stickiness" value="1000"/></meta_attributes></primitive>`,
			g.Name, g.Name, g.Name, g.MemoryMax/mib, g.Name, g.Name)
	}
	p(`</resources><constraints>`)
	for _, r := range s.Inventory.Rules {
		p(`<rsc_colocation id="%s" rsc="g%d" with-rsc="g%d" score="-INFINITY"/>`, r.ID, r.Resources[0].ID, r.Resources[1].ID)
	}
	p(`</constraints></configuration><status>`)
	for _, n := range s.Inventory.Nodes {
		if n.Name == lost {
			p(`<node_state id="%d" uname="%s" in_ccm="false" crmd="offline" join="down" expected="down"/>`, n.ID, n.Name)
			continue
		}
		p(`<node_state id="%d" uname="%s" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="%d"><lrm_resources>`, n.ID, n.Name, n.ID)
		for _, g := range on[n.Name] {
			p(`<lrm_resource id="%s" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="%s_last_0" operation="start" operation_key="%s_start_0" `+
				`transition-key="1:1:0:aaaaaaaa-0000-4000-8000-000000000000" transition-magic="0:0;1:1:0:aaaaaaaa-0000-4000-8000-000000000000" call-id="1" rc-code="0" op-status="0" interval="0" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/></lrm_resource>`,
				g.Name, g.Name, g.Name)
		}
		p(`</lrm_resources></lrm></node_state>`)
	}
	p(`</status></cib>`)
	return b.Bytes()
}

// pacemakerStart is a line of crm_simulate's plan: a guest starts on a node, or moves to one.
var pacemakerStart = regexp.MustCompile(`\* (?:Start|Move|Migrate|Recover)\s+(g\d+)\s+\(\s+(?:node\d+ -> )?(node\d+) \)`)

// pacemakerPlaced reads where crm_simulate put the lost node's guests.
func pacemakerPlaced(s ha.Snapshot, out string) string {
	at, back := places(s), 0
	for name, n := range at {
		if n == "node001" {
			at[name] = ""
		}
	}
	for _, m := range pacemakerStart.FindAllStringSubmatch(out, -1) {
		at[m[1]] = m[2]
		back++
	}
	fullest, violations := quality(s, at)
	return fmt.Sprintf("%d restarted, fullest node %.1f %%, %d rules broken", back, fullest, violations)
}
