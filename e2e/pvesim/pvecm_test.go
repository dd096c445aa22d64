package pvesim_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// blank is that many freshly installed nodes, with two networks each.
func blank(nodes int) pvesim.Spec {
	s := threeNodes()
	s.Name, s.Nodes, s.Storages = "", nil, nil
	for k := range nodes {
		id := string(rune('1' + k))
		s.Nodes = append(s.Nodes, pvesim.NodeSpec{Name: "pve" + id, Address: "10.99.7.1" + id, Links: []string{"10.99.8.1" + id}, Alone: true})
	}
	return s
}

// site is blank nodes and somebody at their consoles.
type site struct {
	*lab
	t *testing.T
}

func onBlankNodes(t *testing.T, nodes int, tell func(site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := start(t, blank(nodes))
		time.Sleep(time.Minute)
		tell(site{l, t})
		l.noDoubleRun()
	})
}

// run runs a command on a node that must succeed.
func (s site) run(node, line string) string {
	s.t.Helper()
	out, code, complaint := exit(s.t, s.Host(node), line)
	if code != 0 {
		s.t.Fatalf("%s on %s: exit code %d: %s", line, node, code, complaint)
	}
	return out
}

// refused runs a command that must fail, and say so.
func (s site) refused(node, line, want string) {
	s.t.Helper()
	if _, code, complaint := exit(s.t, s.Host(node), line); code != 255 || !strings.Contains(complaint, want) {
		s.t.Errorf("%s on %s: exit code %d, %q; want 255 and %q", line, node, code, complaint, want)
	}
}

// trust lets root of one node log in to another.
func (s site) trust(from, to string) {
	s.t.Helper()
	key := readFile(s.t, s.Host(from), "root/.ssh/id_rsa.pub")
	s.add(to, "root/.ssh/authorized_keys", key)
	s.add(from, "root/.ssh/known_hosts", s.Address(to)+" "+readFile(s.t, s.Host(to), "etc/ssh/ssh_host_ed25519_key.pub"))
}

func (s site) add(node, name, line string) {
	s.t.Helper()
	old, _ := s.Host(node).ReadFile(name) // it may not be there yet
	if err := s.Host(node).WriteFile(name, append(old, line...), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func addNode(node string) string {
	id := strings.TrimPrefix(node, "pve")
	return "pvecm add 10.99.7.11 --use_ssh 1 --link0 10.99.7.1" + id + " --link1 10.99.8.1" + id
}

const create = "pvecm create casa --link0 10.99.7.11 --link1 10.99.8.11"

// Three fresh nodes become a cluster, one at a time; every one of them then is a member with
// quorum, sees both links and shows a certificate of the first one's authority.
func TestFreshNodesBecomeACluster(t *testing.T) {
	onBlankNodes(t, 3, func(s site) {
		var rows []map[string]any
		if s.data("pve2", "GET", "/cluster/status", "", &rows); len(rows) != 1 || rows[0]["type"] != "node" {
			s.t.Errorf("a node in no cluster has %v as its status", rows)
		}
		if a := s.call("pve2", "GET", "/cluster/config/join", ""); a.code != 424 {
			s.t.Errorf("join info of a node in no cluster: %d", a.code)
		}
		s.refused("pve2", "pvecm status", "does not exist - is this node part of a cluster?")
		s.run("pve1", create)
		time.Sleep(5 * time.Second)
		for _, node := range []string{"pve2", "pve3"} {
			s.trust(node, "pve1")
			out := s.run(node, addNode(node))
			if !strings.Contains(out, "waiting for quorum...OK") || !strings.Contains(out, "successfully added node '"+node+"'") {
				s.t.Errorf("the join of %s says: %s", node, out)
			}
		}
		time.Sleep(20 * time.Second)
		for _, node := range s.Nodes() {
			if out := s.run(node, "pvecm status"); !strings.Contains(out, "Nodes:            3") || !strings.Contains(out, "Name:             casa") {
				s.t.Errorf("%s says:\n%s", node, out)
			}
			if out := s.run(node, "corosync-cfgtool -s"); strings.Contains(out, "disconnected") || !strings.Contains(out, "LINK ID 1 udp") {
				s.t.Errorf("%s has links:\n%s", node, out)
			}
			if ca, _ := s.Certificate(node); ca != "pve1" {
				s.t.Errorf("%s shows a certificate of the authority of %s", node, ca)
			}
			if s.data(node, "GET", "/nodes", "", &rows); len(rows) != 3 || rows[0]["status"] != "online" {
				s.t.Errorf("%s has nodes %v", node, rows)
			}
		}
	})
}

// While a node joins its API goes away for a moment and comes back with another
// certificate; what it had of its own is gone.
func TestAJoinTakesTheAPIAway(t *testing.T) {
	onBlankNodes(t, 2, func(s site) {
		s.run("pve1", create)
		s.trust("pve2", "pve1")
		before, _ := s.Certificate("pve2")
		refusals := 0
		done := make(chan struct{})
		go func() {
			s.run("pve2", addNode("pve2"))
			close(done)
		}()
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			case <-time.After(time.Second):
			}
			resp, err := s.http.Get("https://pve2:8006/api2/json/version")
			if err != nil && strings.Contains(err.Error(), "connection refused") {
				refusals++
			} else if err == nil {
				resp.Body.Close()
			}
		}
		if after, _ := s.Certificate("pve2"); refusals == 0 || after == before {
			s.t.Errorf("the API refused %d times, and the authority of its certificate is %s", refusals, after)
		}
	})
}

// A join is refused before anything is touched, with all that speaks against it.
func TestJoinsThatAreRefused(t *testing.T) {
	onBlankNodes(t, 3, func(s site) {
		s.AddGuest(pvesim.GuestSpec{ID: 100, Node: "pve3", Bare: true})
		s.trust("pve2", "pve1")
		s.refused("pve2", addNode("pve2"), "is this node part of a cluster?")
		s.run("pve1", create)
		s.refused("pve1", create, "cluster config '/etc/pve/corosync.conf' already exists")
		s.refused("pve3", addNode("pve3"), "* this host already contains virtual guests")
		s.refused("pve2", strings.Replace(addNode("pve2"), "10.99.8.12", "10.0.0.2", 1), "* cannot use IP '10.0.0.2', not found on local node!")
		s.refused("pve2", "pvecm add 10.99.7.11 --use_ssh 1", "Number of links")
		s.refused("pve2", "pvecm add 10.99.7.11", "password")
		s.RemoveGuest("vm:100")
		s.refused("pve3", addNode("pve3"), "Host key verification failed.")
		s.add("pve3", "root/.ssh/known_hosts", "10.99.7.11 "+readFile(s.t, s.Host("pve1"), "etc/ssh/ssh_host_rsa_key.pub"))
		s.refused("pve3", addNode("pve3"), "Permission denied (publickey,password).")
		s.run("pve2", addNode("pve2"))
		s.refused("pve2", addNode("pve2"), "* corosync is already running, is this node already in a cluster?!")
		if out := s.run("pve1", "pvecm nodes"); strings.Contains(out, "pve3") {
			s.t.Errorf("a refused node is a member:\n%s", out)
		}
	})
}

// A join goes on when the agent that began it ends, and a second one is not begun beside it.
func TestAJoinOutlivesItsCaller(t *testing.T) {
	onBlankNodes(t, 2, func(s site) {
		s.run("pve1", create)
		s.trust("pve2", "pve1")
		ctx, end := context.WithTimeout(s.t.Context(), 3*time.Second)
		defer end()
		args := strings.Fields(addNode("pve2"))
		if _, err := s.Host("pve2").Run(ctx, args[0], args[1:]...); err == nil || s.Joining("pve2") == "" {
			s.t.Fatalf("the join ended with its caller: %v", err)
		}
		if _, code, complaint := exit(s.t, s.Host("pve2"), addNode("pve2")); code != 1 || !strings.Contains(complaint, "already loaded") {
			s.t.Errorf("a second join: exit code %d, %s", code, complaint)
		}
		time.Sleep(time.Minute)
		if ca, _ := s.Certificate("pve2"); s.Joining("pve2") != "" || ca != "pve1" {
			s.t.Errorf("after a minute the join is at %q, the certificate of %s", s.Joining("pve2"), ca)
		}
	})
}

// A key is let in from its own addresses, and for a time.
func TestAKeyIsLetInForATime(t *testing.T) {
	onBlankNodes(t, 2, func(s site) {
		s.run("pve1", create)
		s.add("pve2", "root/.ssh/known_hosts", "10.99.7.11 "+readFile(s.t, s.Host("pve1"), "etc/ssh/ssh_host_ed25519_key.pub"))
		key := readFile(s.t, s.Host("pve2"), "root/.ssh/id_rsa.pub")
		let := func(from string, until time.Time) {
			line := "restrict,from=\"" + from + "\",expiry-time=\"" + until.UTC().Format("20060102150405Z") + "\" " + key
			if err := s.Host("pve1").WriteFile("etc/pve/priv/authorized_keys", []byte(line), 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
		let("10.99.7.13", time.Now().Add(time.Hour))
		s.refused("pve2", addNode("pve2"), "Permission denied")
		let("10.99.7.12", time.Now().Add(-time.Minute))
		s.refused("pve2", addNode("pve2"), "Permission denied")
		let("10.99.7.12,10.99.8.12", time.Now().Add(time.Hour))
		s.run("pve2", addNode("pve2"))
	})
}

// A join that dies leaves a node that the cluster lists and that is in no cluster, or one
// whose services are stopped. Proxmox's documented repair makes it joinable again.
func TestAJoinThatDiesInTheMiddle(t *testing.T) {
	for _, step := range []pvesim.JoinStep{pvesim.JoinCopy, pvesim.JoinStop, pvesim.JoinStart, pvesim.JoinQuorum} {
		t.Run(string(step), func(t *testing.T) {
			onBlankNodes(t, 3, func(s site) {
				s.run("pve1", create)
				for _, node := range []string{"pve2", "pve3"} {
					s.trust(node, "pve1")
				}
				s.run("pve2", addNode("pve2"))
				time.Sleep(10 * time.Second)
				s.HoldJoin("pve3", step)
				ctx, kill := context.WithTimeout(s.t.Context(), 2*time.Minute)
				defer kill()
				args := strings.Fields(addNode("pve3"))
				if _, err := s.Host("pve3").Run(ctx, args[0], args[1:]...); err == nil {
					s.t.Fatal("the join came to its end")
				}
				s.KillJoin("pve3")
				s.ReleaseJoin("pve3")
				if out := s.run("pve1", "corosync-quorumtool -s"); !strings.Contains(out, "Expected votes:   3") {
					s.t.Errorf("the cluster does not list the node:\n%s", out)
				}
				s.refused("pve1", "pvecm delnode pve1", "Cannot delete myself")
				s.run("pve1", "pvecm delnode pve3")
				s.Separate("pve3")
				time.Sleep(10 * time.Second)
				s.trust("pve3", "pve1")
				s.run("pve3", addNode("pve3"))
				time.Sleep(10 * time.Second)
				if !s.Quorate("pve3") {
					s.t.Error("the node is not in the cluster after the repair")
				}
			})
		})
	}
}

// The power of a node that joins is cut. With a corosync.conf its next start is in the
// cluster; without one it is as fresh as before.
func TestAJoinThatLosesPower(t *testing.T) {
	for _, c := range []struct {
		step   pvesim.JoinStep
		member bool
	}{{pvesim.JoinCopy, false}, {pvesim.JoinStop, true}, {pvesim.JoinStart, true}} {
		t.Run(string(c.step), func(t *testing.T) {
			onBlankNodes(t, 2, func(s site) {
				s.run("pve1", create)
				s.trust("pve2", "pve1")
				s.HoldJoin("pve2", c.step)
				time.AfterFunc(30*time.Second, func() { s.PowerOff("pve2") })
				args := strings.Fields(addNode("pve2"))
				if _, err := s.Host("pve2").Run(s.t.Context(), args[0], args[1:]...); err == nil {
					s.t.Fatal("the join came to its end")
				}
				s.PowerOn("pve2")
				time.Sleep(2 * time.Minute)
				_, err := fs.Stat(s.Host("pve2"), "etc/pve/corosync.conf")
				ca, _ := s.Certificate("pve2")
				if member := err == nil; member != c.member || s.Quorate("pve2") != true || (ca == "pve1") != c.member {
					s.t.Errorf("after its next start: member %v, quorum %v, certificate of %s", member, s.Quorate("pve2"), ca)
				}
			})
		})
	}
}

// A removed node that boots again believes in a cluster that does not know it any more.
func TestARemovedNodeBootsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		s := site{l, t}
		time.Sleep(time.Minute)
		s.refused("pve1", "pvecm delnode nosuch", "is not a known host of the cluster")
		s.PowerOff("pve3")
		time.Sleep(10 * time.Second)
		if out := s.run("pve1", "pvecm delnode pve3"); !strings.Contains(out, "Killing node 3") {
			t.Errorf("delnode says %q", out)
		}
		time.Sleep(10 * time.Second)
		if out := s.run("pve1", "corosync-quorumtool -s"); !strings.Contains(out, "Expected votes:   2") {
			t.Errorf("the rest has:\n%s", out)
		}
		s.PowerOn("pve3")
		time.Sleep(2 * time.Minute)
		if s.Quorate("pve3") || !strings.Contains(readFile(t, s.Host("pve3"), "etc/corosync/corosync.conf"), "pve1") {
			t.Error("the removed node has quorum, or does not know its old cluster")
		}
		if out := s.run("pve1", "corosync-cfgtool -n"); strings.Contains(out, "nodeid: 3") {
			t.Errorf("the rest talks to it:\n%s", out)
		}
	})
}

// One link cut leaves the membership alone and is seen at both ends, also if it is cut one
// way only; with both cut the node is on its own.
func TestLinksThatAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := threeNodes()
		for k := range spec.Nodes {
			spec.Nodes[k].Links = []string{"10.99.8.1" + string(rune('1'+k))}
		}
		s := site{start(t, spec), t}
		time.Sleep(time.Minute)
		s.CutLinkOneWay(1, "pve1", "pve2")
		time.Sleep(10 * time.Second)
		for _, node := range []string{"pve1", "pve2"} {
			if out := s.run(node, "corosync-cfgtool -n"); strings.Count(out, "enabled connected") != 3 || strings.Count(out, "enabled mtu") != 1 {
				t.Errorf("%s has:\n%s", node, out)
			}
		}
		s.HealLinks()
		s.CutLink(0, "pve3")
		time.Sleep(10 * time.Second)
		if !s.Quorate("pve3") {
			t.Error("one link of two is enough, and it is not in the cluster")
		}
		s.CutLink(1, "pve3")
		time.Sleep(10 * time.Second)
		if s.Quorate("pve3") || !s.Quorate("pve1") {
			t.Error("without a link pve3 has quorum, or the others have none")
		}
	})
}

// A QDevice decides between the halves of a cluster of two; without it, and with one node
// gone, there is no quorum.
func TestQDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := threeNodes()
		spec.Nodes = spec.Nodes[:2]
		s := site{start(t, spec), t}
		time.Sleep(time.Minute)
		s.refused("pve1", "pvecm qdevice remove", "No QDevice configured!")
		s.run("pve1", "pvecm qdevice setup 10.99.7.60")
		time.Sleep(10 * time.Second)
		if out := s.run("pve2", "corosync-quorumtool -s"); !strings.Contains(out, "Expected votes:   3") || !strings.Contains(out, "A,V,NMW pve2 (local)") {
			t.Errorf("pve2 says:\n%s", out)
		}
		s.PowerOff("pve1")
		time.Sleep(10 * time.Second)
		if !s.Quorate("pve2") {
			t.Error("with the QDevice's vote pve2 has no quorum")
		}
		s.CutQDevice()
		time.Sleep(10 * time.Second)
		if s.Quorate("pve2") {
			t.Error("alone and without the QDevice pve2 has quorum")
		}
		s.HealQDevice()
		s.PowerOn("pve1")
		time.Sleep(2 * time.Minute)
		s.run("pve1", "pvecm qdevice remove")
		if out := s.run("pve1", "pvecm status"); strings.Contains(out, "Qdevice") {
			t.Errorf("after its removal there is a QDevice:\n%s", out)
		}
	})
}
