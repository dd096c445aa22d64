package agent

import (
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var address = netip.MustParseAddr("10.20.0.11")

func bmcOrder(deed ha.OrderDeed) ha.Order {
	return ha.Order{ID: "o1", Coordinator: "c1", Generation: 7, TTL: time.Minute, Deed: deed}
}

// A password is shown to nobody but the BMC it is for, and only while nobody else can read
// it: whatever is wrong with its file, ipmitool is not even started.
func TestAPasswordStaysInItsFile(t *testing.T) {
	for name, tt := range map[string]struct {
		file *fstest.MapFile
		deed ha.PowerStatus
		says string
	}{
		"no file":         {nil, ha.PowerStatus{Node: "node1", Address: address}, "there is no /etc/psw-ha/bmc/node1"},
		"others read it":  {&fstest.MapFile{Data: []byte("pw\nuser psw\naddress 10.20.0.11\n"), Mode: 0o644}, ha.PowerStatus{Node: "node1", Address: address}, "can be read by others"},
		"another address": {&fstest.MapFile{Data: []byte("pw\nuser psw\naddress 10.20.0.99\n"), Mode: 0o600}, ha.PowerStatus{Node: "node1", Address: address}, "is not for the BMC at 10.20.0.11"},
		"no address":      {&fstest.MapFile{Data: []byte("pw\nuser psw\n"), Mode: 0o600}, ha.PowerStatus{Node: "node1", Address: address}, "is not for the BMC"},
		"no user":         {&fstest.MapFile{Data: []byte("pw\naddress 10.20.0.11\n"), Mode: 0o600}, ha.PowerStatus{Node: "node1", Address: address}, "names no user"},
		"another folder":  {nil, ha.PowerStatus{Node: "node1", Address: address, Secret: "bmc/../tls/agent.key"}, "is no name of a BMC's secret"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine()
			if tt.file != nil {
				m.MapFS["etc/psw-ha/bmc/node1"] = tt.file
			}
			r := newAgent(t, m, t.TempDir()).Obey(t.Context(), bmcOrder(tt.deed))
			if !strings.Contains(r.Refused, tt.says) || len(m.commands()) != 0 {
				t.Errorf("%+v after %v, want a refusal with %q", r, m.commands(), tt.says)
			}
			if strings.Contains(r.Refused+r.Failed+r.Output, "pw") {
				t.Errorf("the password is in %+v", r)
			}
		})
	}
}

// Without its own permission, and while the node is in service, an agent cuts no power,
// whoever orders it.
func TestAnAgentCutsNoPowerUnlessItMayAndTheNodeIsOutOfService(t *testing.T) {
	deed := ha.CutPower{Node: "node2", Address: address}
	manager := func(state string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(`{"node_status": {"node1": "online", "node2": "` + state + `"}}`)}
	}
	for name, tt := range map[string]struct {
		allowed bool
		deed    ha.CutPower
		state   string
		says    string
	}{
		"not allowed":  {false, deed, "maintenance", "PSW_HA_ALLOW_POWER_OFF"},
		"itself":       {true, ha.CutPower{Node: "node1", Address: address}, "maintenance", "its own power"},
		"in service":   {true, deed, "online", "not in maintenance"},
		"no such file": {true, deed, "maintenance", "there is no /etc/psw-ha/bmc/node2"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine()
			m.MapFS["etc/pve/ha/manager_status"] = manager(tt.state)
			a := newAgent(t, m, t.TempDir())
			a.config.AllowPowerOff = tt.allowed
			if r := a.Obey(t.Context(), bmcOrder(tt.deed)); !strings.Contains(r.Refused, tt.says) || len(m.commands()) != 0 {
				t.Errorf("%+v after %v, want a refusal with %q", r, m.commands(), tt.says)
			}
		})
	}
}
