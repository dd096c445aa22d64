package pve

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What resources.cfg does not say has Proxmox's defaults.
func TestResourceDefaults(t *testing.T) {
	world := drainedCluster(t)
	inv, err := ours(t, routes(world)).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest := "e863e9765fae6a4dce13525c4b9bff0ab402a573"
	want := []ha.Resource{
		{SID: ha.MustSID("vm:100"), State: ha.RequestStarted, MaxRestart: 2, MaxRelocate: 1, Failback: true, Digest: digest},
		{SID: ha.MustSID("vm:101"), State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: false, Digest: digest},
		{SID: ha.MustSID("vm:102"), State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true, Digest: digest},
		{SID: ha.MustSID("vm:103"), State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true, Digest: digest},
	}
	if diff := cmp.Diff(want, inv.Resources); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

// A rule the HA manager ignores does not bind, however it says so.
func TestRulesThatDoNotBind(t *testing.T) {
	for body, binds := range map[string]bool{
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1:1,pve2:2,pve3","strict":0}`:                                                                   true,
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1","disable":1}`:                                                                                false,
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1","disable":"0"}`:                                                                              false,
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1","errors":{"resources":["resource 'vm:100' is already used in another node affinity rule"]}}`: false,
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1","errors":{"nodes":"odd"}}`:                                                                   false,
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1","errors":"odd"}`:                                                                             false,
		`{"rule":"r1","type":"node-affinity","resources":"vm:100","nodes":"pve1","errors":null}`:                                                                              true,
		`{"rule":"r1","type":"node-affinity","resources":"fa:100","nodes":"pve1"}`:                                                                                            false,
	} {
		var row ruleRow
		if err := json.Unmarshal([]byte(body), &row); err != nil {
			t.Fatal(err)
		}
		if r := row.rule(); r.Binds() != binds {
			t.Errorf("%s: binds %v", body, r.Binds())
		}
	}
}

// The HA manager's status in its recorded states.
func TestManagerStatus(t *testing.T) {
	read := func(name string) ha.HAStatus {
		var v struct{ Data managerStatus }
		if err := json.Unmarshal([]byte(recorded(t, name)), &v); err != nil {
			t.Fatal(err)
		}
		if err := v.Data.check(); err != nil {
			t.Fatal(err)
		}
		return v.Data.status()
	}
	if s := read("manager-status-unused"); !s.Quorate || s.Master != "" || !s.MasterAt.IsZero() || len(s.Nodes)+len(s.Services) > 0 {
		t.Errorf("unused: %+v", s)
	}
	if s := read("manager-status-minority"); s.Quorate {
		t.Error(`quorate "" is true`)
	}
	drained := read("manager-status-drained")
	n, _ := drained.Node("pve2")
	want := ha.HANode{
		Name: "pve2", State: ha.NodeMaintenance, MaintenanceRequested: true, LRMState: "maintenance", LRMMode: "maintenance",
		LRMAt: time.Unix(1795224010, 0).UTC(),
	}
	if n != want {
		t.Errorf("drained: %+v", n)
	}
	if s, _ := drained.Service(ha.MustSID("vm:104")); s.MaintenanceNode != "pve2" || s.Node != "pve1" || !s.Running {
		t.Errorf("drained: %+v", s)
	}
	if s := read("manager-status-disarmed"); s.Armed != "disarmed" || s.DisarmMode != "freeze" {
		t.Errorf("disarmed: %q %q", s.Armed, s.DisarmMode)
	}
	broken, _ := read("manager-status-error").Service(ha.MustSID("vm:103"))
	if broken.State != ha.ServiceError || !slices.Equal(broken.FailedNodes, []ha.NodeName{"pve2", "pve3"}) {
		t.Errorf("error: %+v", broken)
	}
	var m managerStatus
	queued := `{"manager_status":{"node_status":{"n1":"online"},"node_request":{"n1":{}},"service_status":{"vm:100":{"node":"n1","state":"request_stop","cmd":["stop","30"],"timeout":"30"}}},"quorum":{"quorate":1}}`
	if err := json.Unmarshal([]byte(queued), &m); err != nil {
		t.Fatal(err)
	}
	if s, _ := m.status().Service(ha.MustSID("vm:100")); s.Command != "stop 30" {
		t.Errorf("queued: %+v", s)
	}
}

func TestOptions(t *testing.T) {
	for name, want := range map[string]ha.Options{
		"options-set":   {ShutdownPolicy: "migrate", MaxWorkers: 3, Scheduler: "static", MigrationNetwork: "10.99.7.0/24", AutoRebalance: true},
		"options-unset": {ShutdownPolicy: "conditional", MaxWorkers: 4, Scheduler: "basic"},
	} {
		var v struct{ Data optionsRow }
		if err := json.Unmarshal([]byte(recorded(t, name)), &v); err != nil {
			t.Fatal(err)
		}
		if got := v.Data.options(); got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A guest that cannot be understood is not left out of the inventory in silence.
func TestUnreadableGuest(t *testing.T) {
	for body, want := range map[string]bool{
		`{"data":[{"type":"qemu","id":"qemu/100","node":"n1"}]}`:              true,
		`{"data":[{"type":"lxc","id":"lxc/101","vmid":"101","node":"n1"}]}`:   true,
		`{"data":[{"type":"qemu","id":"qemu/x","node":"n1"}]}`:                false,
		`{"data":[{"type":"qemu","id":"qemu/100","vmid":100}]}`:               false,
		`{"data":[{"type":"node","id":"node/n1"},{"type":"sdn","id":"x/y"}]}`: true,
	} {
		var v struct{ Data []resourceRow }
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		if _, err := guests(v.Data); (err == nil) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}
