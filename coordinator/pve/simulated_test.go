package pve_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Stories of a cluster in trouble, seen through the adapter.
func story(t *testing.T, f func(*testing.T, *pvesim.Cluster, subject)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := lab()
		f(t, c, subject{Client: simulated(t, c, simSecret), guest: ha.MustSID("vm:100")})
	})
}

var away = ha.Migrate{SID: ha.MustSID("vm:100"), From: "node1", To: "node2", Method: ha.MethodLive}

// Proxmox does the deed and its answer is lost. The error says that nobody knows, and
// looking shows that it was done.
func TestAnswerLostAfterTheDeed(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		c.LoseAnswers(1, "/migrate")
		_, err := s.Do(t.Context(), away)
		if ha.KindOf(err) != ha.Unavailable || pve.Refused(err) {
			t.Errorf("got %v, refused %v", err, pve.Refused(err))
		}
		if n := len(c.Tasks()); n != 1 {
			t.Errorf("asked for %d migrations", n)
		}
		s.until(t, "the guest has moved", func(inv ha.Inventory) bool { g, _ := inv.Guest(s.guest); return g.Node == "node2" })

		c.LoseAnswers(1, "/cluster/ha/resources")
		add := ha.AddResource{Resource: ha.Resource{SID: s.guest, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}}
		if _, err := s.Do(t.Context(), add); err == nil || pve.Refused(err) {
			t.Errorf("got %v", err)
		}
		s.do(t, add) // it was done: doing it again is success
	})
}

// The node one speaks to loses power: the next one answers, and deeds go there, too.
func TestNodeOfTheAPIIsGone(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		if inv := s.inventory(t); inv.Source != "node1" {
			t.Fatalf("asked %s", inv.Source)
		}
		c.PowerOff("node1")
		time.Sleep(30 * time.Second)
		inv := s.inventory(t)
		n, _ := inv.Node("node1")
		if inv.Source == "node1" || n.Online || !inv.Cluster.Quorate || inv.Cluster.Votes != 2 {
			t.Errorf("source %s, node1 %+v, cluster %+v", inv.Source, n, inv.Cluster)
		}
		if g, _ := inv.Guest(s.guest); g.Node != "node1" {
			t.Errorf("guest %+v", g)
		}
		begun := time.Now()
		s.do(t, ha.AddResource{Resource: ha.Resource{SID: ha.MustSID("ct:201"), State: ha.RequestStopped, MaxRestart: 1, MaxRelocate: 1, Failback: true}})
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the dead node was tried first: %s", took)
		}
		// What only the dead node could do is refused: it never got the request.
		if _, err := s.Do(t.Context(), away); ha.KindOf(err) != ha.Unavailable || !pve.Refused(err) {
			t.Errorf("got %v, refused %v", err, pve.Refused(err))
		}
	})
}

// The first endpoint is alone behind a cut link. Its picture is old and it has no quorum:
// the majority's is taken.
func TestMinorityIsNotBelieved(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		c.Partition([]string{"node1"}, []string{"node2", "node3"})
		time.Sleep(15 * time.Second)
		inv := s.inventory(t)
		if inv.Source == "node1" || !inv.Cluster.Quorate || !inv.HA.Quorate || inv.Cluster.Votes != 2 {
			t.Errorf("source %s, cluster %+v", inv.Source, inv.Cluster)
		}
		s.do(t, ha.RemoveResource{SID: ha.MustSID("vm:102")}) // goes to the majority, too
	})
}

// Nobody has quorum: that can be read, and nothing can be done.
func TestQuorumLost(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		c.Partition([]string{"node1"}, []string{"node2"}, []string{"node3"})
		time.Sleep(15 * time.Second)
		inv := s.inventory(t)
		if inv.Cluster.Quorate || inv.HA.Quorate || len(inv.Guests) != 5 {
			t.Errorf("cluster %+v, HA quorate %v, %d guests", inv.Cluster, inv.HA.Quorate, len(inv.Guests))
		}
		s.refused(t, ha.Migrate{SID: ha.MustSID("vm:101"), From: "node2", To: "node1", Method: ha.MethodLive, HA: true}, ha.NotReady)
		s.refused(t, ha.AddResource{Resource: ha.Resource{SID: s.guest, State: ha.RequestStarted}}, ha.NotReady)
		s.refused(t, away, ha.NotReady)
	})
}

// A node that takes fifteen seconds to answer costs one timeout; the inventory comes from
// the next.
func TestSlowNode(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		c.DelayAnswers(1, "/cluster/resources", 15*time.Second)
		begun := time.Now()
		inv := s.inventory(t)
		if took := time.Since(begun); inv.Source == "node1" || took < pve.DefaultTimeout || took > pve.DefaultTimeout+time.Second {
			t.Errorf("from %s after %s", inv.Source, took)
		}
	})
}

// Faults while waiting for a migration do not end the wait; a failed migration does, with
// what its log says.
func TestWaitingForAMigration(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		upid := s.do(t, away)
		c.RefuseAnswers(4, "/tasks/", 595, "No route to host")
		if err := s.WaitTask(t.Context(), upid); err != nil {
			t.Fatal(err)
		}
		if d, ok, err := s.Downtime(t.Context(), upid); err != nil || !ok || d != 20*time.Millisecond {
			t.Errorf("downtime %s, %v, %v", d, ok, err)
		}

		c.FailMigration("vm:100", 1)
		back := ha.Migrate{SID: s.guest, From: "node2", To: "node1", Method: ha.MethodLive}
		err := s.WaitTask(t.Context(), s.do(t, back))
		var failed *pve.TaskError
		if !errors.As(err, &failed) || failed.Status == "OK" || len(failed.Log) == 0 {
			t.Errorf("got %v", err)
		}
		if g, _ := s.inventory(t).Guest(s.guest); g.Node != "node2" || !g.Running() {
			t.Errorf("guest %+v", g)
		}
	})
}

// The node dies under the task: nobody can tell how it ended, and that is the answer.
func TestTaskDiesWithItsNode(t *testing.T) {
	story(t, func(t *testing.T, c *pvesim.Cluster, s subject) {
		upid := s.do(t, away)
		c.PowerOff("node1")
		begun := time.Now()
		err := s.WaitTask(t.Context(), upid)
		if ha.KindOf(err) != ha.Unavailable || pve.Refused(err) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 2*time.Minute {
			t.Errorf("gave up after %s", took)
		}
	})
}

// A container is moved by restart; a live move is not even asked for.
func TestContainerMoves(t *testing.T) {
	story(t, func(t *testing.T, _ *pvesim.Cluster, s subject) {
		ct := ha.Migrate{SID: ha.MustSID("ct:200"), From: "node1", To: "node3", Method: ha.MethodRestart}
		if err := s.WaitTask(t.Context(), s.do(t, ct)); err != nil {
			t.Fatal(err)
		}
		inv := s.until(t, "the container runs there", func(inv ha.Inventory) bool {
			g, _ := inv.Guest(ct.SID)
			return g.Node == "node3" && g.Running()
		})
		if g, _ := inv.Guest(ct.SID); g.CPUs != 0.5 {
			t.Errorf("guest %+v", g)
		}
		ct.From, ct.To, ct.Method = "node3", "node1", ha.MethodLive
		s.refused(t, ct, ha.Invalid)
		s.do(t, ha.Shutdown{SID: ha.MustSID("ct:201"), Node: "node3"}) // is down already
	})
}

// A negative rule is in the way: 200 from Proxmox, an error from us.
func TestMoveBlockedByRule(t *testing.T) {
	story(t, func(t *testing.T, _ *pvesim.Cluster, s subject) {
		s.do(t, ha.AddResource{Resource: ha.Resource{SID: s.guest, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}})
		s.until(t, "the HA manager runs both", func(inv ha.Inventory) bool {
			a, _ := inv.HA.Service(s.guest)
			b, _ := inv.HA.Service(ha.MustSID("vm:102"))
			return a.Running && b.Running
		})
		s.do(t, ha.PutRule{Create: true, Rule: ha.Rule{ID: "apart", Type: ha.ResourceAffinity, Affinity: ha.Negative, Resources: []ha.SID{s.guest, ha.MustSID("vm:102")}}})
		_, err := s.Do(t.Context(), ha.Migrate{SID: s.guest, From: "node1", To: "node2", Method: ha.MethodLive, HA: true})
		var blocked *pve.BlockedError
		if !errors.As(err, &blocked) || !strings.Contains(err.Error(), "vm:102") || ha.KindOf(err) != ha.Conflict || !pve.Refused(err) {
			t.Errorf("got %v", err)
		}
	})
}

// What the tokens of a cluster may see and do.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := pvesim.Spec{
			Nodes:  []pvesim.NodeSpec{{Name: "node1"}, {Name: "node2"}, {Name: "node3"}},
			Guests: []pvesim.GuestSpec{{ID: 100, Node: "node1"}, {ID: 101, Node: "node1"}},
			Tokens: []pvesim.TokenSpec{
				{User: "psw@pve", ID: "ha", Secret: "auditor", UserACL: []pvesim.ACL{{Path: "/", Role: "PVEAuditor"}}},
				{User: "few@pve", ID: "ha", Secret: "few", UserACL: []pvesim.ACL{{Path: "/vms/100", Role: "PVEAuditor"}}},
			},
		}
		c := pvesim.New(spec)
		client := func(id, secret string) *pve.Client {
			p, err := pve.New(pve.Config{Endpoints: []string{"https://node1"}, TokenID: id, TokenSecret: secret, Transport: c.Transport()})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		auditor := subject{Client: client("psw@pve!ha", "auditor")}
		missing, err := auditor.Permissions(t.Context())
		if want := []string{"Sys.Console on /", "VM.Migrate on /vms", "VM.PowerMgmt on /vms"}; err != nil || !slices.Equal(missing, want) {
			t.Errorf("an auditor lacks %v, %v", missing, err)
		}
		if inv := auditor.inventory(t); len(inv.Guests) != 2 {
			t.Errorf("an auditor sees %d guests", len(inv.Guests))
		}
		auditor.refused(t, ha.Start{SID: ha.MustSID("vm:100"), Node: "node1"}, ha.Denied)
		auditor.refused(t, ha.RemoveRule{ID: "apart"}, ha.Denied)

		few := client("few@pve!ha", "few")
		if missing, err := few.Permissions(t.Context()); err != nil || !slices.Contains(missing, "VM.Audit on /vms") {
			t.Errorf("a token for one guest lacks %v, %v", missing, err)
		}
		if inv, err := few.Inventory(t.Context()); ha.KindOf(err) != ha.Denied {
			t.Errorf("a token for one guest reads %d guests as the cluster, %v", len(inv.Guests), err)
		}
	})
}
