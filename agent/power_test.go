package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
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

// wired is a machine whose ipmitool asks a BMC that answers each time with the next of its
// words, and with the last of them from then on. An empty word is no answer.
type wired struct {
	*machine
	status []string
	cut    int
}

func (w *wired) Run(_ context.Context, _ string, args ...string) ([]byte, error) {
	if args[len(args)-1] == "off" {
		w.cut++
		return []byte("Chassis Power Control: Down/Off\n"), nil
	}
	word := w.status[0]
	w.status = w.status[min(1, len(w.status)-1):]
	if word == "" {
		return nil, errors.New("no answer")
	}
	return []byte("Chassis Power is " + word + "\n"), nil
}

// A BMC that does not say whether its node has power is told nothing. One that was told and is
// not seen to have obeyed is no success, and why is said.
func TestWhatABMCSaysIsTakenAsItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		status []string
		cut    int
		says   string
		power  ha.PowerState
	}{
		"obeys":             {[]string{"on", "on", "off"}, 1, "", ha.PowerOff},
		"is off already":    {[]string{"off"}, 0, "the power of node2 is off already", ""},
		"does not know":     {[]string{"resting"}, 0, "does not say whether node2 has power", ""},
		"does not answer":   {[]string{""}, 0, "cannot be asked: no answer", ""},
		"does not obey":     {[]string{"on"}, 1, "30s later it is not seen to be off: it says that it is on", ha.PowerOn},
		"does and is quiet": {[]string{"on", "on", ""}, 1, "30s later it is not seen to be off: no answer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wired{machine: newMachine(), status: tt.status}
				w.MapFS["etc/pve/ha/manager_status"] = &fstest.MapFile{Data: []byte(`{"node_status": {"node2": "maintenance"}}`)}
				w.MapFS["etc/psw-ha/bmc/node2"] = &fstest.MapFile{Data: []byte("pw\nuser psw\naddress 10.20.0.11\n"), Mode: 0o600}
				c := DefaultConfig()
				c.Node, c.StateDir, c.Coordinators, c.AllowPowerOff = "node1", t.TempDir(), []string{here}, true
				r := New(c, w, slog.New(slog.DiscardHandler)).Obey(t.Context(), bmcOrder(ha.CutPower{Node: "node2", Address: address}))
				if said := r.Refused + r.Failed; w.cut != tt.cut || !strings.Contains(said, tt.says) || (said == "") != (tt.says == "") {
					t.Errorf("%+v after cutting it %d times, want %q", r, w.cut, tt.says)
				}
				if power := r.Power; (power == nil) != (tt.power == "") || power != nil && power.State != tt.power {
					t.Errorf("its power is %+v, want %q", power, tt.power)
				}
			})
		})
	}
}
