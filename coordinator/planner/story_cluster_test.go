package planner

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// threeNodes is node1, whose API is asked and which stands alone or is a cluster, and node2
// and node3, as they are after installation; everything is as declared.
func threeNodes(members int) ha.Snapshot {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	s := ha.Snapshot{At: now, Policy: ha.Policy{Project: "home", Cluster: ha.ClusterPolicy{Name: "home",
		Storage: &ha.SharedStorage{Type: "nfs", Server: "10.0.0.50", Export: "/pool", Mount: "/mnt/shared"}}},
		Inventory: ha.Inventory{At: now, Source: "node1", Cluster: ha.Cluster{Quorate: true, Votes: members, Expected: members, Standalone: members == 0},
			HA: ha.HAStatus{Quorate: true, Armed: "armed"}}}
	for k := range 3 {
		n := ha.NodeName(fmt.Sprintf("node%d", k+1))
		one, two := fmt.Sprintf("10.0.0.1%d", k+1), fmt.Sprintf("10.0.1.1%d", k+1)
		s.Policy.Cluster.Nodes = append(s.Policy.Cluster.Nodes, n)
		s.Policy.Hosts = append(s.Policy.Hosts, ha.Host{Name: n, IP: netip.MustParseAddr(one), Links: []netip.Addr{netip.MustParseAddr(one), netip.MustParseAddr(two)}})
		r := ha.Report{Node: n, Taken: now, Received: now, System: ha.System{PVEVersion: "9.2.11"},
			Membership: ha.Membership{RootKeys: []string{"ssh-rsa A"}, HostKeys: []string{"ssh-ed25519 B"}},
			Interfaces: []ha.Interface{{Name: "vmbr0", State: "up", Carrier: true, Addresses: []string{one + "/24"}},
				{Name: "eno2", State: "up", Carrier: true, Addresses: []string{two + "/24"}}}}
		if k < members {
			r.Membership = ha.Membership{Clustered: true, ClusterName: "home", Quorate: true}
			s.Inventory.Cluster.Name = "home"
		}
		if k < max(1, members) {
			s.Inventory.Nodes = append(s.Inventory.Nodes, ha.Node{Name: n, Online: true, IP: one})
		}
		s.Reports = append(s.Reports, r)
	}
	return s
}

func withDevice(s *ha.Snapshot, host string) {
	for k := range s.Inventory.Nodes {
		s.Reports[k].Corosync = ha.Corosync{QDevice: true, Config: ha.CorosyncConfig{QDeviceHost: host}}
	}
}

func offline(s *ha.Snapshot, k int) {
	s.Inventory.Nodes[k].Online = false
	s.Inventory.Cluster.Votes--
}

// A refusal is told by what is wrong, and expects its code, its cause and what to type.
type refusal struct {
	name    string
	members int // 0: node1 stands alone
	wrong   func(*ha.Snapshot, *ha.OperationRequest)
	code    ha.Code
	cause   string
	next    string
}

var refusals = []refusal{
	{"the API is silent", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Inventory.At = s.At.Add(-time.Minute) }, codeStaleInventory, "has not answered", "systemctl status pveproxy"},
	{"no quorum", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Inventory.Cluster.Quorate = false }, codeNoQuorum, "not quorate", "pvecm status"},
	{"HA is disarmed", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Inventory.HA.Armed = "disarmed" }, codeDisarmed, "HA is disarmed", "arm-ha"},
	{"no nodes declared", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Policy.Cluster.Nodes = nil }, codeNoCluster, "no cluster.nodes", "psw node cluster"},
	{"the API of a node that would join", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Inventory.Source = "node2" }, codeWrongAPI, "asks the API of node2", "pveum user token add"},
	{"another cluster's API", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Inventory.Cluster.Name = "office" }, codeOtherCluster, "in the cluster office", "cluster.name: office"},
	{"a node in maintenance", 2, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Maintenances = []ha.Maintenance{{Node: "node2", Phase: ha.Draining}}
	}, codeOtherMaintenance, "in maintenance", "psw maintenance end node2"},

	{"a silent agent", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Reports[2].Received = s.At.Add(-time.Minute) }, codeStaleReport, "has not reported for 1 min", "systemctl status psw-agent"},
	{"a silent first node", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Reports[0].Received = s.At.Add(-time.Minute) }, codeStaleReport, "has not reported for 1 min", "on node1: `systemctl status psw-agent`"},
	{"an agent that could not look", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Reports[1].Failures = []ha.ProbeFailure{{Probe: ha.ProbeNetwork, Reason: "denied"}}
	}, codeStaleReport, "could not look (network): denied", "on node2: `psw-agent check`"},
	{"a node that holds a guest", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Reports[2].GuestConfigs = []ha.GuestConfig{{SID: ha.SID{Kind: ha.VM, ID: 100}}}
	}, codeHoldsGuests, "would lose their configuration: vm:100", "vzdump"},
	{"a node of another cluster", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Reports[1].Membership = ha.Membership{Clustered: true, ClusterName: "office"}
	}, codeOtherCluster, "in a cluster already: office", "pvecm delnode"},
	{"another version", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Reports[2].System.PVEVersion = "8.4.1" }, codeOtherVersion, "runs Proxmox VE 8.4.1, and node1 runs 9.2.11", "apt dist-upgrade"},
	{"a clock far off", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Reports[2].Taken = s.At.Add(-time.Minute) }, codeClock, "differ by 1 min", "chronyc tracking"},
	{"no SSH keys", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Reports[1].Membership.RootKeys = nil }, codeKeysUnknown, "no SSH key", "ssh-keygen -A"},
	{"an address the node does not have", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Policy.Hosts[1].Links[1] = netip.MustParseAddr("10.0.1.99")
	}, codeAddress, "link 1 is to be 10.0.1.99, which is no address of it; it has 10.0.0.12/24 on vmbr0", "ip addr"},
	{"no address declared", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Policy.Hosts = s.Policy.Hosts[:2] }, codeAddress, "names no address", "ip -br addr"},
	{"an interface that is down", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Reports[1].Interfaces[1].State, s.Reports[1].Interfaces[1].Carrier = "down", false
	}, codeUnreachable, "link 1, 10.0.1.12 on eno2, is down", "ip link show eno2"},
	{"fewer links", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Policy.Hosts[2].Links = s.Policy.Hosts[2].Links[:1] }, codeUnreachable, "1 links declared, and node1 has 2", "ip -br addr"},
	{"no way to the other network", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Policy.Hosts[2].Links[1], s.Reports[2].Interfaces[1].Addresses = netip.MustParseAddr("10.0.9.13"), []string{"10.0.9.13/24"}
	}, codeUnreachable, "no way to 10.0.1.11 of node1", "ip route get 10.0.1.11"},
	{"an address declared twice", 0, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Policy.Hosts[1].Links[1] = s.Policy.Hosts[2].Links[1] }, codeDuplicate, "is declared for node", "ip -br addr"},
	{"a member's address", 2, func(s *ha.Snapshot, _ *ha.OperationRequest) { s.Inventory.Nodes[1].IP = "10.0.0.13" }, codeDuplicate, "10.0.0.13 is the address of node2", "ip -br addr"},
	{"a join that would cost quorum", 2, func(s *ha.Snapshot, _ *ha.OperationRequest) { offline(s, 1) }, codeQuorumAtRisk, "1 of the 2 votes it then needs, and lose quorum: offline: node2", "pvecm status"},
	{"a QDevice change that would cost quorum", 2, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		withDevice(s, "10.0.0.60")
		offline(s, 1)
		s.Policy.Cluster.Nodes, s.Policy.Cluster.QDevice = s.Policy.Cluster.Nodes[:2], &ha.QDevice{Host: "10.0.0.61"}
	}, codeQuorumAtRisk, "without its QDevice, which is to change, the cluster has 1 of the 2 votes", "pvecm status"},
	{"a QDevice while a node is away", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		withDevice(s, "10.0.0.60")
		offline(s, 2)
		s.Policy.Cluster.QDevice = &ha.QDevice{Host: "10.0.0.61"}
	}, codeNodeOffline, "only while every node is online; offline: node3", "pvecm status"},
	{"a QDevice nobody declared", 2, func(s *ha.Snapshot, _ *ha.OperationRequest) { withDevice(s, "10.0.0.60") }, codeForeignDevice, "the QDevice 10.0.0.60", "pvecm qdevice remove"},
	{"a join, and nobody tells of a QDevice", 2, corosyncUnseen, codeStaleReport, "no member's agent tells whether the cluster has a QDevice", "psw-agent check"},
	{"a half-done join", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		offline(s, 2)
		s.Reports[2].Membership = ha.Membership{}
	}, codeHalfJoined, "the cluster lists it, and it knows of no cluster", "on node1: `pvecm delnode node3`"},
	{"a half-done join that costs quorum", 2, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		offline(s, 1)
		s.Inventory.Cluster.Quorate, s.Reports[1].Membership = false, ha.Membership{}
	}, codeHalfJoined, "died half way", "DANGEROUS way is `pvecm expected 1`, only when every node that is missing is off"},
	{"a member that is not in", 3, func(s *ha.Snapshot, _ *ha.OperationRequest) {
		offline(s, 2)
		s.Reports[2].Membership.Quorate = false
	}, codeHalfJoined, "has the cluster's configuration but is not in it", "pvecm updatecerts"},

	{"a storage of another server", 0, storageWith(func(x *ha.Storage) { x.Server = "10.0.0.51" }), codeStorageDiffers, "has the server 10.0.0.51, and network.yml declares 10.0.0.50", "pvesm remove nas"},
	{"a storage of another export", 0, storageWith(func(x *ha.Storage) { x.Export = "/old" }), codeStorageDiffers, "has the export /old", "pvesm list nas"},
	{"a storage at another path", 0, storageWith(func(x *ha.Storage) { x.Path = "/mnt/pve/nas" }), codeStorageDiffers, "has the path /mnt/pve/nas", "pvesm remove nas"},
	{"a storage of another type", 0, storageWith(func(x *ha.Storage) { x.Type = "dir" }), codeStorageDiffers, "has the type dir", "pvesm remove nas"},

	{"no such node", 3, removing("node9", func(*ha.Snapshot, *ha.OperationRequest) {}), codeNodeUnknown, "no such node", "psw node remove NODE"},
	{"the last node", 0, removing("node1", func(*ha.Snapshot, *ha.OperationRequest) {}), codeLastNode, "the last node", "poweroff"},
	{"not said to be off", 3, removing("node3", func(_ *ha.Snapshot, r *ha.OperationRequest) { r.Options.PoweredOff = false }), codeNotOff, "nobody has said that it is off", "psw node remove node3 --powered-off node3"},
	{"guests remain", 3, removing("node3", func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Inventory.Guests = []ha.Guest{{SID: ha.SID{Kind: ha.VM, ID: 100}, Name: "media", Node: "node3"}}
	}), codeNodeGuests, "1 guests are on it: vm:100 (media)", "psw maintenance start node3"},
	{"removal under another's maintenance", 3, removing("node3", func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Maintenances = []ha.Maintenance{{Node: "node2", Phase: ha.Draining}}
	}), codeOtherMaintenance, "in maintenance", "psw maintenance end node2"},
	{"removal while another is away", 3, removing("node3", func(s *ha.Snapshot, _ *ha.OperationRequest) { offline(s, 1) }), codeQuorumAtRisk, "without node3 the cluster has 1 of the 2 votes", "pvecm status"},
	{"removal from a cluster of two", 2, removing("node2", func(*ha.Snapshot, *ha.OperationRequest) {}), codeQuorumAtRisk, "1 of the 2 votes", "on node1 the last and DANGEROUS way is `pvecm expected 1`, only when every node that is missing is off"},
	{"removal from two and a QDevice", 2, removing("node2", func(s *ha.Snapshot, _ *ha.OperationRequest) { withDevice(s, "10.0.0.60") }), codeQuorumAtRisk, "since the QDevice is removed before", "pvecm expected 1"},
	{"removal, and nobody tells of a QDevice", 3, removing("node3", corosyncUnseen), codeStaleReport, "no member's agent tells whether the cluster has a QDevice", "psw-agent check"},
	{"removal, and the rules cannot be read", 3, removing("node3", func(s *ha.Snapshot, _ *ha.OperationRequest) {
		s.Inventory.Failures = []string{"rules: 500 timeout"}
	}), codeRegistrationUnknown, "the HA rules could not be read: 500 timeout", "ha-manager rules list"},
	{"removal of a dead node beside a QDevice", 3, removing("node3", func(s *ha.Snapshot, _ *ha.OperationRequest) {
		withDevice(s, "10.0.0.60")
		offline(s, 2)
	}), codeNodeOffline, "only while every node is online", "psw node remove node3"},
}

// corosyncUnseen: no agent could look at corosync.
func corosyncUnseen(s *ha.Snapshot, _ *ha.OperationRequest) {
	for k := range s.Reports {
		s.Reports[k].Failures = []ha.ProbeFailure{{Probe: ha.ProbeCorosync, Reason: "denied"}}
	}
}

// removing is a story of `psw node remove NODE --powered-off NODE`.
func removing(n ha.NodeName, wrong func(*ha.Snapshot, *ha.OperationRequest)) func(*ha.Snapshot, *ha.OperationRequest) {
	return func(s *ha.Snapshot, r *ha.OperationRequest) {
		r.Kind, r.Node, r.Options.PoweredOff = ha.OperationRemoveNode, n, true
		wrong(s, r)
	}
}

// storageWith is a story of a storage that is there already, and not quite as declared.
func storageWith(other func(*ha.Storage)) func(*ha.Snapshot, *ha.OperationRequest) {
	return func(s *ha.Snapshot, r *ha.OperationRequest) {
		r.Kind = ha.OperationBootstrap
		x := ha.Storage{Name: "nas", Type: "nfs", Shared: true, Server: "10.0.0.50", Export: "/pool", Path: "/mnt/shared"}
		other(&x)
		s.Inventory.Storages = []ha.Storage{x}
	}
}

// Each refusal names its cause and what to type next, before anything is touched.
func TestEachRefusalNamesItsCauseAndTheNextCommand(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			s, r := threeNodes(tt.members), ha.OperationRequest{Kind: ha.OperationCluster}
			tt.wrong(&s, &r)
			p := PreviewOperation(r, s, Aside{})
			k := slices.IndexFunc(p.Blockers, func(b ha.Blocker) bool {
				return b.Code == tt.code && strings.Contains(b.Reason, tt.cause) && strings.Contains(b.Fix, tt.next)
			})
			if k < 0 {
				t.Errorf("want %s because %q, and then %q; got %+v", tt.code, tt.cause, tt.next, p.Blockers)
			}
			for _, b := range p.Blockers {
				if b.Subject == "" || b.Reason == "" || strings.Count(b.Fix, "`") < 2 {
					t.Errorf("%s of %s does not say what to type: %q; %q", b.Code, b.Subject, b.Reason, b.Fix)
				}
			}
		})
	}
}

// What is as declared is not refused, else the stories above would prove little.
func TestWhatIsAsDeclaredIsNotRefused(t *testing.T) {
	for _, r := range []ha.OperationRequest{{Kind: ha.OperationCluster}, {Kind: ha.OperationBootstrap}} {
		for members := range 4 {
			if p := PreviewOperation(r, threeNodes(members), Aside{}); len(p.Blockers) > 0 {
				t.Errorf("%s with %d members: %+v", r.Kind, members, p.Blockers)
			}
		}
	}
	r := ha.OperationRequest{Kind: ha.OperationRemoveNode, Node: "node3", Options: ha.OperationOptions{PoweredOff: true}}
	if p := PreviewOperation(r, threeNodes(3), Aside{}); len(p.Blockers) > 0 {
		t.Errorf("%+v", p.Blockers)
	}
}

// No refusal of these files is without its story.
func TestNoRefusalIsWithoutAStory(t *testing.T) {
	values, used := codesOf(t, "departure.go"), map[string]bool{}
	for _, file := range []string{"gates.go", "cluster.go", "cluster_gates.go", "storage.go", "bootstrap.go", "remove.go"} {
		for name, value := range codesOf(t, file) {
			if value != "" {
				values[name] = value
			}
			// What is in gates.go beside world.gates is about drains.
			used[name] = used[name] || file != "gates.go"
		}
	}
	if len(used) < 20 {
		t.Fatalf("only %d codes were found", len(used))
	}
	for name := range used {
		code := ha.Code(values[name])
		if used[name] && !slices.ContainsFunc(refusals, func(r refusal) bool { return r.code == code }) {
			t.Errorf("no story tells of %s (%q)", name, code)
		}
	}
}

// codesOf are the codes a file names, with their values where it declares them.
func codesOf(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	is := func(name string) bool {
		return len(name) > 4 && strings.HasPrefix(name, "code") && name[4] >= 'A' && name[4] <= 'Z'
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for k, name := range n.Names {
				if k >= len(n.Values) || !is(name.Name) {
					continue
				}
				if lit, ok := n.Values[k].(*ast.BasicLit); ok {
					out[name.Name], _ = strconv.Unquote(lit.Value)
				}
			}
		case *ast.Ident:
			if _, known := out[n.Name]; !known && is(n.Name) {
				out[n.Name] = ""
			}
		}
		return true
	})
	return out
}

// A QDevice goes while the node that is to be removed is still there: Proxmox wants all online.
func TestAQDeviceGoesBeforeTheNodeIsOff(t *testing.T) {
	s := threeNodes(3)
	withDevice(&s, "10.0.0.60")
	o := ha.Operation{Kind: ha.OperationRemoveNode, Node: "node3", Policy: s.Policy, Options: ha.OperationOptions{PoweredOff: true}}
	_, p := Operate(o, s, Aside{})
	if len(p.Actions) != 1 || p.Actions[0] != (ha.RemoveQDevice{On: "node1"}) {
		t.Errorf("want the QDevice removed first, got %v", p.Actions)
	}
}

// After a restart of the coordinator no agent has reported yet: that nobody tells of the
// QDevice does not mean that it was removed.
func TestAQDeviceNobodyTellsOfIsNotTakenForRemoved(t *testing.T) {
	for _, kind := range []ha.OperationKind{ha.OperationRemoveNode, ha.OperationCluster} {
		s := threeNodes(3)
		withDevice(&s, "10.0.0.60")
		s.Policy.Cluster.QDevice = &ha.QDevice{Host: "10.0.0.60"}
		o := ha.Operation{Kind: kind, Node: "node3", Policy: s.Policy, Options: ha.OperationOptions{PoweredOff: true}, RequestedAt: s.At,
			Steps: []ha.OperationStep{{Key: "qdevice remove", State: ha.StepDoing, Asked: s.At.Add(-time.Second), Tries: 1}}}
		s.Reports = nil
		o, _ = Operate(o, s, Aside{})
		if st, _ := o.Step("qdevice remove"); st.State != ha.StepDoing {
			t.Errorf("%s: it is %s, and nobody has looked", kind, st.State)
		}
	}
}

// A join that waits for something, a member to come back say, outlives what the node was let
// in for, as often as that takes. That was no failure: it is let in anew.
func TestAPermissionThatRanOutIsGivenAnewHoweverOften(t *testing.T) {
	s := threeNodes(2)
	done := s.At.Add(-time.Hour)
	o := ha.Operation{Kind: ha.OperationCluster, Policy: s.Policy, RequestedAt: done, Steps: []ha.OperationStep{
		{Key: "authorize node3", State: ha.StepDone, Asked: done, Answered: done, Ended: done, Tries: legTries}}}
	o, p := Operate(o, s, Aside{})
	if len(p.Actions) != 1 {
		t.Fatalf("want node3 let in again, got %v", p.Actions)
	}
	if let, ok := p.Actions[0].(ha.AuthorizeJoin); !ok || let.Node != "node3" {
		t.Errorf("want node3 let in again, got %v", p.Actions)
	}
	if st, _ := o.Step("authorize node3"); st.State != ha.StepDoing {
		t.Errorf("it is %s: %s", st.State, st.Note)
	}
}

// A member that joined and is not seen to be in the cluster is waited for, and it is said what
// is known of it: that its agent is silent does not make it offline.
func TestAMemberThatIsNotSeenToBeInIsCalledWhatItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		wrong func(*ha.Snapshot)
		want  string
	}{
		"offline":   {func(s *ha.Snapshot) { offline(s, 2); s.Reports[2].Received = s.At.Add(-time.Minute) }, "it is offline"},
		"silent":    {func(s *ha.Snapshot) { s.Reports[2].Received = s.At.Add(-time.Minute) }, "its agent has not reported for 1 min"},
		"no quorum": {func(s *ha.Snapshot) { s.Reports[2].Membership.Quorate = false }, "it sees no quorum itself"},
	} {
		t.Run(name, func(t *testing.T) {
			s := threeNodes(3)
			tt.wrong(&s)
			o := ha.Operation{Kind: ha.OperationCluster, Policy: s.Policy, Steps: []ha.OperationStep{
				{Key: "authorize node3", State: ha.StepDone, Asked: s.At.Add(-time.Minute)}, {Key: "join node3", State: ha.StepDone, Asked: s.At.Add(-time.Minute)}, {Key: "revoke node3", State: ha.StepDone}}}
			_, p := Operate(o, s, Aside{})
			if len(p.Actions) > 0 || !slices.ContainsFunc(p.Waits, func(x ha.Wait) bool {
				return x.Subject == "join node3" && strings.Contains(x.Reason, tt.want) && strings.Contains(x.Fix, "`")
			}) {
				t.Errorf("want %q; actions %v, waits %+v", tt.want, p.Actions, p.Waits)
			}
		})
	}
}

// A rule that could not be read is not one that names the node no more.
func TestARuleThatCannotBeReadIsNotTakenForChanged(t *testing.T) {
	s := threeNodes(3)
	s.Inventory.Failures = []string{"rules: 500 timeout"}
	o := ha.Operation{Kind: ha.OperationRemoveNode, Node: "node3", Policy: s.Policy, Options: ha.OperationOptions{PoweredOff: true},
		Steps: []ha.OperationStep{{Key: "rule media-nodes", State: ha.StepDoing, Asked: s.At.Add(-time.Second), Tries: 1}}}
	o, p := Operate(o, s, Aside{})
	if st, _ := o.Step("rule media-nodes"); st.State != ha.StepDoing || len(p.Actions) > 0 {
		t.Errorf("it is %s, and then %v", st.State, p.Actions)
	}
}

// What is under way when an operation is given up is waited for, but not beyond the deadline
// if the cluster never lets anybody look for it again.
func TestTheDeadlineEndsWhatWasGivenUpAsWell(t *testing.T) {
	s := threeNodes(2)
	s.Inventory.HA.Armed = "disarmed"
	o := ha.Operation{Kind: ha.OperationCluster, Policy: s.Policy, Cancelling: true, Options: ha.OperationOptions{Deadline: s.At.Add(time.Minute)},
		Steps: []ha.OperationStep{{Key: "join node3", State: ha.StepDoing, Asked: s.At.Add(-time.Minute), Tries: 1}}}
	if now, _ := Operate(o, s, Aside{}); now.Closed() {
		t.Fatalf("it ended with a join under way: %s: %s", now.Outcome, now.Reason)
	}
	s.At = s.At.Add(2 * time.Minute)
	s.Inventory.At = s.At
	if o, _ = Operate(o, s, Aside{}); o.Outcome != ha.OperationFailed || !strings.Contains(o.Reason, "the deadline has passed, and it waits: cluster: HA is disarmed") {
		t.Errorf("%s: %s", o.Outcome, o.Reason)
	}
}
