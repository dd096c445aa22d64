package agent

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A rack is freshly installed nodes and their agents, whom one coordinator orders about.
type rack struct {
	*pvesim.Cluster
	t      *testing.T
	agents map[ha.NodeName]*Agent
	last   int
}

func onARack(t *testing.T, nodes int, tell func(*rack)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		spec := pvesim.Spec{}
		for k := range nodes {
			id := string(rune('1' + k))
			spec.Nodes = append(spec.Nodes, pvesim.NodeSpec{Name: "node" + id, Address: "10.99.7.1" + id, Links: []string{"10.99.8.1" + id}, Alone: true})
		}
		r := &rack{Cluster: pvesim.New(spec), t: t, agents: map[ha.NodeName]*Agent{}}
		time.Sleep(time.Minute)
		for _, name := range r.Nodes() {
			c := DefaultConfig()
			c.Node, c.StateDir, c.Coordinators = ha.NodeName(name), t.TempDir(), []string{here}
			r.agents[c.Node] = New(c, r.Host(name), slog.New(slog.DiscardHandler))
		}
		tell(r)
	})
}

func (r *rack) order(node ha.NodeName, deed ha.OrderDeed) ha.OrderResult {
	r.last++
	return r.agents[node].Obey(r.t.Context(), ha.Order{ID: string(rune('a' + r.last)), Coordinator: "c1", Generation: 7, TTL: time.Minute, Deed: deed})
}

// done gives an order that must be carried out.
func (r *rack) done(node ha.NodeName, deed ha.OrderDeed) {
	r.t.Helper()
	if got := r.order(node, deed); got.Refused != "" || got.Failed != "" {
		r.t.Fatalf("%s on %s: %+v", deed, node, got)
	}
}

// keys are the public keys of a node, as its agent reports them.
func (r *rack) keys(node ha.NodeName) (root, host []string) {
	m := r.agents[node].Look(r.t.Context()).Membership
	return m.RootKeys, m.HostKeys
}

func (r *rack) authorized() string {
	r.t.Helper()
	data, err := r.Host("node1").ReadFile("etc/pve/priv/authorized_keys")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func links(end string) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.99.7." + end), netip.MustParseAddr("10.99.8." + end)}
}

func (r *rack) join(node ha.NodeName, end string) ha.JoinCluster {
	_, host := r.keys("node1")
	return ha.JoinCluster{Node: node, Peer: netip.MustParseAddr("10.99.7.11"), PeerKeys: host, Links: links(end)}
}

// Agents form a cluster with public keys only: the joining node is let in from its own
// addresses for minutes, and what let it in is gone afterwards.
func TestAgentsFormACluster(t *testing.T) {
	onARack(t, 2, func(r *rack) {
		r.done("node1", ha.CreateCluster{Node: "node1", Name: "home", Links: links("11")})
		time.Sleep(10 * time.Second)
		root, _ := r.keys("node2")
		let := ha.AuthorizeJoin{On: "node1", Node: "node2", Keys: root, From: links("12"), For: 10 * time.Minute}
		r.done("node1", let)
		r.done("node1", let) // twice is once
		text := r.authorized()
		if by := (ha.RevokeJoin{On: "node1", Node: "node2"}).Command(); !strings.Contains(by, "ends in psw-ha-join-node2 ") {
			r.t.Errorf("whoever takes it back by hand is told %q", by)
		}
		if n := strings.Count(text, "psw-ha-join-node2"); n != 1 {
			r.t.Errorf("node2 is let in by %d lines:\n%s", n, text)
		}
		if !strings.Contains(text, `restrict,from="10.99.7.12,10.99.8.12",expiry-time="20000101`) || !strings.Contains(text, `Z" ssh-rsa AAAA`) {
			r.t.Errorf("it is let in without limits:\n%s", text)
		}
		r.done("node2", r.join("node2", "12"))
		time.Sleep(10 * time.Second)
		r.done("node1", ha.RevokeJoin{On: "node1", Node: "node2", Joined: true})
		if text := r.authorized(); strings.Contains(text, "psw-ha") || !strings.Contains(text, root[0]) {
			r.t.Errorf("after the join: %s", text)
		}
		m := r.agents["node1"].Look(r.t.Context()).Membership
		if !m.Clustered || m.ClusterName != "home" || len(m.Members) != 2 || !r.Quorate("node2") {
			r.t.Errorf("node1 is a member of %+v", m)
		}
		r.PowerOff("node2")
		time.Sleep(time.Minute)
	})
}

// A join that is given up takes its key with it.
func TestAJoinThatIsGivenUpLeavesNoKey(t *testing.T) {
	onARack(t, 2, func(r *rack) {
		r.done("node1", ha.CreateCluster{Node: "node1", Name: "home", Links: links("11")})
		time.Sleep(10 * time.Second)
		before := r.authorized()
		root, _ := r.keys("node2")
		r.done("node1", ha.AuthorizeJoin{On: "node1", Node: "node2", Keys: root, From: links("12"), For: time.Minute})
		r.done("node1", ha.RevokeJoin{On: "node1", Node: "node2"})
		if after := r.authorized(); after != before {
			r.t.Errorf("before:\n%safter:\n%s", before, after)
		}
	})
}

// A join that does not come to its end is not waited for without end, and nobody says that
// it failed.
func TestAJoinThatDoesNotEnd(t *testing.T) {
	onARack(t, 2, func(r *rack) {
		r.done("node1", ha.CreateCluster{Node: "node1", Name: "home", Links: links("11")})
		time.Sleep(10 * time.Second)
		root, _ := r.keys("node2")
		r.done("node1", ha.AuthorizeJoin{On: "node1", Node: "node2", Keys: root, From: links("12"), For: 10 * time.Minute})
		r.HoldJoin("node2", pvesim.JoinQuorum)
		began := time.Now()
		got := r.order("node2", r.join("node2", "12"))
		if took := time.Since(began); took < joinMax || took > joinMax+time.Minute || !strings.Contains(got.Failed, "is to be seen in the cluster") {
			r.t.Errorf("after %s: %+v", took, got)
		}
	})
}

// Whatever could be a way to make root run something else is refused before anything runs.
func TestClusterOrdersThatAreRefused(t *testing.T) {
	onARack(t, 2, func(r *rack) {
		root, host := r.keys("node2")
		addr := netip.MustParseAddr
		join := ha.JoinCluster{Node: "node2", Peer: addr("10.99.7.11"), PeerKeys: host, Links: links("12")}
		let := ha.AuthorizeJoin{On: "node1", Node: "node2", Keys: root, From: links("12"), For: time.Minute}
		with := func(change func(*ha.JoinCluster)) ha.JoinCluster { j := join; change(&j); return j }
		letting := func(change func(*ha.AuthorizeJoin)) ha.AuthorizeJoin { l := let; change(&l); return l }
		for _, tt := range []struct {
			name string
			on   ha.NodeName
			deed ha.OrderDeed
			why  string
		}{
			{"an option as a name", "node1", ha.CreateCluster{Node: "node1", Name: "--force", Links: links("11")}, "no name of a cluster"},
			{"a shell's work as a name", "node1", ha.CreateCluster{Node: "node1", Name: "a;reboot", Links: links("11")}, "no name of a cluster"},
			{"a name that is too long", "node1", ha.CreateCluster{Node: "node1", Name: "abcdefghijklmnop", Links: links("11")}, "no name of a cluster"},
			{"no link", "node1", ha.CreateCluster{Node: "node1", Name: "home"}, "0 links"},
			{"another node's cluster", "node2", ha.CreateCluster{Node: "node1", Name: "home", Links: links("11")}, "it is for node1"},
			{"a zone in an address", "node2", with(func(j *ha.JoinCluster) { j.Links = []netip.Addr{addr("fe80::1%eth0")} }), "no usable address"},
			{"no address at all", "node2", with(func(j *ha.JoinCluster) { j.Peer = netip.Addr{} }), "the peer has no address"},
			{"a peer that is this machine", "node2", with(func(j *ha.JoinCluster) { j.Peer = addr("127.0.0.1") }), "the peer has no address"},
			{"no host key", "node2", with(func(j *ha.JoinCluster) { j.PeerKeys = nil }), "host keys are not known"},
			{"a host key of two lines", "node2", with(func(j *ha.JoinCluster) { j.PeerKeys = []string{host[0] + "\n* " + host[0]} }), "no public key"},
			{"options before a key", "node1", letting(func(l *ha.AuthorizeJoin) { l.Keys = []string{`command="reboot" ` + root[0]} }), "no public key"},
			{"a key of another type than it says", "node1", letting(func(l *ha.AuthorizeJoin) { l.Keys = []string{strings.Replace(root[0], "ssh-rsa", "ssh-ed25519", 1)} }), "no public key"},
			{"no key", "node1", letting(func(l *ha.AuthorizeJoin) { l.Keys = nil }), "are not known"},
			{"for ever", "node1", letting(func(l *ha.AuthorizeJoin) { l.For = 100 * time.Hour }), "1h0m0s at the most"},
			{"from anywhere", "node1", letting(func(l *ha.AuthorizeJoin) { l.From = nil }), "are not known"},
			{"a pattern as a node", "node1", letting(func(l *ha.AuthorizeJoin) { l.Node = "*" }), "no name of a node"},
			{"a QDevice that is an option", "node1", ha.SetupQDevice{On: "node1", Host: "-oProxyCommand=reboot"}, "no name and no address"},
			{"its own removal", "node1", ha.RemoveClusterNode{On: "node1", Node: "node1"}, "cannot remove itself"},
			{"the removal of a stranger", "node1", ha.RemoveClusterNode{On: "node1", Node: "node9"}, "is no member"},
			{"the removal of nobody", "node1", ha.RemoveClusterNode{On: "node1"}, "no name of a node"},
		} {
			before := r.authorized()
			if got := r.order(tt.on, tt.deed); !strings.Contains(got.Refused+got.Failed, tt.why) {
				r.t.Errorf("%s: %+v, want %q", tt.name, got, tt.why)
			}
			if r.authorized() != before || r.agents["node1"].Look(r.t.Context()).Membership.Clustered || r.agents["node2"].Look(r.t.Context()).Membership.Clustered {
				r.t.Errorf("%s: something was done all the same", tt.name)
			}
		}
	})
}
