package pve

import (
	"maps"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// pve8 is the schema as Proxmox VE 8 has it: no rules, no failback of a resource, nothing to
// purge (pve-ha-manager 4.0.7). What is sent to a cluster of that release must pass it.
func (s schema) pve8() schema {
	out := maps.Clone(s)
	maps.DeleteFunc(out, func(call string, _ struct {
		Parameters struct {
			Properties map[string]parameter `json:"properties"`
		} `json:"parameters"`
	}) bool {
		return strings.Contains(call, "/cluster/ha/rules")
	})
	for call, spec := range out {
		if strings.Contains(call, "/cluster/ha/resources") {
			spec.Parameters.Properties = maps.Clone(spec.Parameters.Properties)
			delete(spec.Parameters.Properties, "failback")
			delete(spec.Parameters.Properties, "purge")
			out[call] = spec
		}
	}
	return out
}

// The deeds of a registration on Proxmox VE 8, with groups.
func TestDoOnPVE8(t *testing.T) {
	in := func(group string) ha.Resource {
		return ha.Resource{SID: vm100, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Group: group, Comment: "psw-ha: target web"}
	}
	group := ha.Group{Name: "psw-web", Nodes: []ha.RuleNode{{Node: "node1", Priority: 100}, {Node: "node2"}}, NoFailback: true, Comment: "psw-ha: target web"}
	stored := `{"data":[{"group":"psw-web","type":"group","nodes":"node2,node1:100","nofailback":1,"comment":"psw-ha: target web","digest":"` + digest + `"}]}`
	loose := `{"data":[{"group":"psw-web","type":"group","nodes":"node1","restricted":1,"comment":"psw-ha: target web","digest":"` + digest + `"}]}`
	was := ha.Group{Name: "psw-web", Nodes: []ha.RuleNode{{Node: "node1"}}, Restricted: true, Comment: "psw-ha: target web"}
	resource := `{"data":{"sid":"vm:100","type":"vm","group":"by-hand","comment":"psw-ha: target web","digest":"` + digest + `"}}`
	for _, tt := range []struct {
		name   string
		world  world
		action ha.Action
		asked  string
	}{
		{"create a group", nil, ha.PutGroup{Group: group, Create: true},
			`POST /cluster/ha/groups {"comment":"psw-ha: target web","group":"psw-web","nodes":"node1:100,node2","nofailback":1,"restricted":0}`},
		{"create a group that is there", world{"POST /cluster/ha/groups": "500 create ha group failed: group ID 'psw-web' already defined", "GET /cluster/ha/groups": stored},
			ha.PutGroup{Group: group, Create: true},
			`POST /cluster/ha/groups {"comment":"psw-ha: target web","group":"psw-web","nodes":"node1:100,node2","nofailback":1,"restricted":0}`},
		{"change nothing of a group", world{"GET /cluster/ha/groups": stored}, ha.PutGroup{Group: group, Was: was}, ``},
		{"change a group", world{"GET /cluster/ha/groups": loose}, ha.PutGroup{Group: group, Was: was},
			`PUT /cluster/ha/groups/psw-web {"comment":"psw-ha: target web","digest":"` + digest + `","nodes":"node1:100,node2","nofailback":1,"restricted":0}`},
		{"remove a group", world{"GET /cluster/ha/groups": stored}, ha.RemoveGroup{Name: "psw-web", Was: group}, `DELETE /cluster/ha/groups/psw-web`},
		{"remove a group that is gone", world{"GET /cluster/ha/groups": `{"data":[]}`}, ha.RemoveGroup{Name: "psw-web"}, ``},
		{"register in a group", nil, ha.AddResource{Resource: in("psw-web")},
			`POST /cluster/ha/resources {"comment":"psw-ha: target web","group":"psw-web","max_relocate":1,"max_restart":1,"sid":"vm:100","state":"started"}`},
		{"change the group", world{"GET /cluster/ha/resources/vm:100": resource}, ha.UpdateResource{Resource: in("psw-web"), Was: in("by-hand")},
			`PUT /cluster/ha/resources/vm:100 {"digest":"` + digest + `","group":"psw-web"}`},
		{"leave the group", world{"GET /cluster/ha/resources/vm:100": resource}, ha.UpdateResource{Resource: in("")},
			`PUT /cluster/ha/resources/vm:100 {"delete":"group","digest":"` + digest + `"}`},
		{"unregister", world{"GET /cluster/ha/resources/vm:100": resource}, ha.RemoveResource{SID: vm100, Was: in("by-hand")}, `DELETE /cluster/ha/resources/vm:100`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.world == nil {
				tt.world = world{}
			}
			tt.world["GET /version"] = version84
			p := tt.world.node()
			if _, err := ours(t, p).Do(t.Context(), tt.action); err != nil {
				t.Fatal(err)
			}
			if got := asked(p); got != tt.asked {
				t.Errorf("asked\n%s\nwant\n%s", got, tt.asked)
			}
			s := readSchema(t).pve8()
			for _, r := range p.requests() {
				if err := s.check(r); err != nil {
					t.Errorf("Proxmox VE 8 would refuse %s: %v", r, err)
				}
			}
		})
	}
}

// What somebody changed since the plan was made is not overwritten: nothing is sent, and
// the error says to look again.
func TestDoAfterAConcurrentEdit(t *testing.T) {
	was := ha.Resource{SID: vm100, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}
	want := was
	want.Failback = false
	edited := `{"data":{"sid":"vm:100","type":"vm","state":"ignored","digest":"` + digest + `"}}`
	rule := ha.Rule{ID: "psw-web", Type: ha.NodeAffinity, Resources: []ha.SID{vm100}, Nodes: []ha.RuleNode{{Node: "node1"}}}
	other := rule
	other.Strict = true
	editedRule := `{"data":{"rule":"psw-web","type":"node-affinity","resources":"vm:100","nodes":"node3","digest":"` + digest + `"}}`
	group := ha.Group{Name: "psw-web", Nodes: []ha.RuleNode{{Node: "node1"}}, Comment: "psw-ha: target web"}
	other8 := group
	other8.NoFailback = true
	editedGroup := `{"data":[{"group":"psw-web","nodes":"node3","comment":"mine"}]}`
	for _, tt := range []struct {
		name   string
		world  world
		action ha.Action
		says   string
	}{
		{"of a resource", world{"GET /cluster/ha/resources/vm:100": edited}, ha.UpdateResource{Resource: want, Was: was},
			"cannot change vm:100: somebody has changed the resource vm:100 meanwhile; it must be read and planned again"},
		{"of a resource to be removed", world{"GET /cluster/ha/resources/vm:100": edited}, ha.RemoveResource{SID: vm100, Was: was}, "somebody has changed the resource vm:100 meanwhile"},
		{"of a rule", world{"GET /cluster/ha/rules/psw-web": editedRule}, ha.PutRule{Rule: other, Was: rule}, "somebody has changed the rule psw-web meanwhile"},
		{"of a rule to be removed", world{"GET /cluster/ha/rules/psw-web": editedRule}, ha.RemoveRule{ID: "psw-web", Was: rule}, "somebody has changed the rule psw-web meanwhile"},
		{"of a group", world{"GET /version": version84, "GET /cluster/ha/groups": editedGroup}, ha.PutGroup{Group: other8, Was: group}, "somebody has changed the group psw-web meanwhile"},
		{"of a group to be removed", world{"GET /version": version84, "GET /cluster/ha/groups": editedGroup}, ha.RemoveGroup{Name: "psw-web", Was: group}, "somebody has changed the group psw-web meanwhile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.world.node()
			_, err := ours(t, p).Do(t.Context(), tt.action)
			if ha.KindOf(err) != ha.Conflict || !Refused(err) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("kind %s, refused %v: %v", ha.KindOf(err), Refused(err), err)
			}
			if got := asked(p); got != "" {
				t.Errorf("asked all the same: %s", got)
			}
		})
	}
	// Somebody who did what was planned did no harm.
	p := world{"GET /cluster/ha/resources/vm:100": `{"data":{"sid":"vm:100","type":"vm","failback":0,"digest":"` + digest + `"}}`}.node()
	if _, err := ours(t, p).Do(t.Context(), ha.UpdateResource{Resource: want, Was: was}); err != nil || asked(p) != "" {
		t.Errorf("%v, asked %q", err, asked(p))
	}
}

// What a cluster of the other release cannot do is not asked of it.
func TestDoRefusedByRelease(t *testing.T) {
	group := ha.Group{Name: "psw-web", Nodes: []ha.RuleNode{{Node: "node1"}}, Comment: "psw-ha: target web"}
	for _, tt := range []struct {
		group ha.Group
		says  string
	}{
		{group, "HA groups are of Proxmox VE 8; this is 9.2.11, which has HA rules instead"},
	} {
		p := world{}.node()
		_, err := ours(t, p).Do(t.Context(), ha.PutGroup{Group: tt.group, Create: true})
		if ha.KindOf(err) != ha.Invalid || !Refused(err) || !strings.Contains(err.Error(), tt.says) || asked(p) != "" {
			t.Errorf("%v, asked %q", err, asked(p))
		}
	}
}
