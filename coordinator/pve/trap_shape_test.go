package pve

import (
	"net/http"
	"strings"
	"testing"

	"github.com/luthermonson/go-proxmox"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Real answers that the library's types do not fit. See trap_status_test.go.

// inventoryWith is the inventory of the recorded cluster with one answer replaced.
func inventoryWith(t *testing.T, call, body string) ha.Inventory {
	t.Helper()
	world := drainedCluster(t)
	world[call] = body
	inv, err := ours(t, routes(world)).Inventory(t.Context())
	if err != nil || len(inv.Failures) > 0 {
		t.Fatalf("%s: %v, %v", call, err, inv.Failures)
	}
	return inv
}

// library is go-proxmox's cluster handle on one answer.
func library(body string) *proxmox.Cluster {
	return (&proxmox.Cluster{}).New(bare(always(200, "OK", body)))
}

// One container with half a processor, and the library cannot list the cluster.
func TestTrapHalfAProcessor(t *testing.T) {
	body := `{"data":[{"type":"lxc","id":"lxc/200","vmid":200,"node":"pve1","name":"ct200","status":"running","maxcpu":0.5,"maxmem":2.68435456e+08,"mem":"1048576","template":""}]}`
	if _, err := library(body).Resources(t.Context()); err == nil {
		t.Error("the library reads it by now")
	}
	inv := inventoryWith(t, "GET /cluster/resources", body)
	g, ok := inv.Guest(ct200)
	if !ok || g.CPUs != 0.5 || g.MemoryMax != 268435456 || g.MemoryUsed != 1048576 || g.Template {
		t.Errorf("got %+v, %v", g, ok)
	}
}

// A container with a cpulimit has no handle, so that the library cannot move it.
func TestTrapContainerHandle(t *testing.T) {
	p := routes(map[string]string{
		"GET /nodes/pve1/lxc/200/status/current": recorded(t, "ct-current"),
		"GET /nodes/pve1/lxc/200/config":         recorded(t, "ct-config"),
		"POST /nodes/pve1/lxc/200/migrate":       `{"data":"UPID:pve1:0000046F:000ABCC7:6B00F024:vzmigrate:200:root@pam!lab:"}`,
	})
	if _, err := (&proxmox.Node{}).New(bare(p), "pve1").Container(t.Context(), 200); err == nil {
		t.Error("the library reads it by now")
	}
	upid, err := ours(t, p).Do(t.Context(), ha.Migrate{SID: ct200, From: "pve1", To: "pve2", Method: ha.MethodRestart})
	if err != nil || !strings.Contains(upid, "vzmigrate") {
		t.Errorf("got %q, %v", upid, err)
	}
}

// Booleans of a resource in the forms Perl gives them; and omitted ones have defaults that
// are not Go's.
func TestTrapResourceBooleans(t *testing.T) {
	for _, form := range []string{`"0"`, `""`} {
		body := `{"data":[{"sid":"vm:100","type":"vm","failback":` + form + `}]}`
		if _, err := library(body).HAResources(t.Context(), ""); err == nil {
			t.Errorf("%s: the library reads it by now", form)
		}
		if r, ok := inventoryWith(t, "GET /cluster/ha/resources", body).Resource(vm100); !ok || r.Failback {
			t.Errorf("%s: %+v, %v", form, r, ok)
		}
	}
	body := `{"data":[{"sid":"vm:100","type":"vm","digest":"x"}]}`
	rs, err := library(body).HAResources(t.Context(), "")
	if err != nil || rs[0].Failback != nil || rs[0].State != nil || rs[0].MaxRestart != nil {
		t.Errorf("the library fills in defaults by now: %+v, %v", rs, err)
	}
	if r, _ := inventoryWith(t, "GET /cluster/ha/resources", body).Resource(vm100); !r.Failback || r.State != ha.RequestStarted || r.MaxRestart != 1 || r.MaxRelocate != 1 {
		t.Errorf("got %+v", r)
	}
}

// "Do not purge" sends nothing, and the server's default is to purge.
func TestTrapDeleteStillPurges(t *testing.T) {
	p := always(200, "OK", `{"data":null}`)
	if err := (&proxmox.Cluster{}).New(bare(p)).HAResourceDelete(t.Context(), "vm:100", false); err != nil || p.requests()[0].query != "" {
		t.Errorf("the library sends %q by now, %v", p.requests()[0].query, err)
	}
	node := world{}.node()
	if _, err := ours(t, node).Do(t.Context(), ha.RemoveResource{SID: vm100}); err != nil || asked(node) != "DELETE /cluster/ha/resources/vm:100?purge=0" {
		t.Errorf("asked %s, %v", asked(node), err)
	}
}

// A move that the HA manager will not make is answered with 200.
func TestTrapBlockedMoveIsSuccess(t *testing.T) {
	body := recorded(t, "migrate-blocked")
	if err := library(body).HAResourceMigrate(t.Context(), "vm:100", "pve3"); err != nil {
		t.Errorf("the library calls it an error by now: %v", err)
	}
	_, err := ours(t, always(200, "OK", body)).Do(t.Context(), ha.Migrate{SID: vm100, To: "pve3", HA: true})
	if ha.KindOf(err) != ha.Conflict || !strings.Contains(err.Error(), "vm:102") {
		t.Errorf("got %v", err)
	}
}

// The errors for which a rule is ignored are dropped, and some changes cannot be sent.
func TestTrapRules(t *testing.T) {
	ignored := `{"data":[{"rule":"pin","type":"node-affinity","resources":"vm:100","nodes":"pve1","strict":0,"order":1,
		"errors":{"resources":["resource 'vm:100' is already used in another node affinity rule"]}}]}`
	rules, err := library(ignored).HARules(t.Context(), "", "")
	if err != nil || *rules[0] != (proxmox.HARule{Rule: "pin", Type: "node-affinity", Resources: "vm:100", Nodes: "pve1"}) {
		t.Errorf("the library reads more by now: %+v, %v", rules, err)
	}
	if inv := inventoryWith(t, "GET /cluster/ha/rules", ignored); inv.Rules[0].Binds() || !strings.Contains(inv.Rules[0].Errors[0], "already used") {
		t.Errorf("got %+v", inv.Rules)
	}

	p := always(200, "OK", `{"data":null}`)
	if err := (&proxmox.Cluster{}).New(bare(p)).HARuleUpdate(t.Context(), "pin", &proxmox.HARuleUpdateOption{Type: "node-affinity", Strict: false}); err != nil ||
		p.requests()[0].body != `{"type":"node-affinity"}` {
		t.Errorf("the library sends %s by now, %v", p.requests()[0].body, err)
	}
	node := world{"GET /cluster/ha/rules/pin": `{"data":{"rule":"pin","type":"node-affinity","resources":"vm:100","nodes":"pve1","strict":1,"disable":1}}`}.node()
	loose := ha.Rule{ID: "pin", Type: ha.NodeAffinity, Resources: []ha.SID{vm100}, Nodes: []ha.RuleNode{{Node: "pve1"}}}
	if _, err := ours(t, node).Do(t.Context(), ha.PutRule{Rule: loose}); err != nil || asked(node) != `PUT /cluster/ha/rules/pin {"delete":"strict,disable","type":"node-affinity"}` {
		t.Errorf("asked %s, %v", asked(node), err)
	}
}

// The HA manager's status: the library looks for nodes and services at the wrong level and
// drops the LRMs, so that maintenance cannot be seen.
func TestTrapManagerStatus(t *testing.T) {
	body := recorded(t, "manager-status-drained")
	s, err := library(body).HAManagerStatus(t.Context())
	if err != nil || len(s.NodeStatus)+len(s.ServiceStatus) != 0 {
		t.Errorf("the library finds them by now: %+v, %v", s, err)
	}
	inv := inventoryWith(t, "GET /cluster/ha/status/manager_status", body)
	n, ok := inv.HA.Node("pve2")
	if !ok || n.State != ha.NodeMaintenance || !n.MaintenanceRequested || n.LRMMode != "maintenance" || len(inv.HA.Services) != 6 {
		t.Errorf("got %+v", n)
	}
}

// Whether HA is armed is not in the library's status.
func TestTrapArmedState(t *testing.T) {
	body := `{"data":[{"node":"pve2","resource_mode":"freeze","type":"fencing","status":"x","id":"fencing","armed-state":"disarmed"}]}`
	rows, err := library(body).HAStatus(t.Context())
	if err != nil || *rows[0] != (proxmox.HAStatusEntry{ID: "fencing", Type: "fencing", Status: "x", Node: "pve2"}) {
		t.Errorf("the library reads more by now: %+v, %v", rows, err)
	}
	if inv := inventoryWith(t, "GET /cluster/ha/status/current", body); inv.HA.Armed != "disarmed" || inv.HA.DisarmMode != "freeze" {
		t.Errorf("got %+v", inv.HA)
	}
}

// Of an NFS storage the library keeps neither server nor export nor whether it is disabled.
func TestTrapStorage(t *testing.T) {
	list, err := bare(always(200, "OK", recorded(t, "storage-nfs"))).ClusterStorages(t.Context())
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	// Its type has no field for them; what it has is all there is.
	if got := *list[0]; got.Storage != "n7" || got.Path != "/mnt/pve/n7" || got.Shared != 1 {
		t.Errorf("the library reads %+v", got)
	}
	s, _ := inventoryWith(t, "GET /storage", recorded(t, "storage-nfs")).Storage("n7")
	if s.Server != "10.99.7.1" || s.Export != "/srv/x" || !s.Disabled || s.Offers("pve1") {
		t.Errorf("got %+v", s)
	}
	restricted, _ := inventoryWith(t, "GET /storage", recorded(t, "storage-nfs")).Storage("n8")
	if restricted.Offers("pve1") || !restricted.Offers("pve3") {
		t.Errorf("got %+v", restricted)
	}
}

// A migration network in datacenter.cfg, and the library cannot read the options.
func TestTrapOptions(t *testing.T) {
	body := recorded(t, "options-set")
	if _, err := library(body).ClusterOptions(t.Context()); err == nil {
		t.Error("the library reads it by now")
	}
	if o := inventoryWith(t, "GET /cluster/options", body).Options; o.ShutdownPolicy != "migrate" || o.MaxWorkers != 3 {
		t.Errorf("got %+v", o)
	}
}

// Groups are gone on PVE 9, and asking for them is an error for ever; on PVE 8 rules are.
func TestTrapGroups(t *testing.T) {
	gone := "cannot index groups: ha groups have been migrated to rules"
	p := &proxmoxd{answer: func(req *http.Request, _ string) (*http.Response, error) { return refuse(req, 500, gone), nil }}
	if _, err := (&proxmox.Cluster{}).New(bare(p)).HAGroups(t.Context()); err == nil {
		t.Error("the library calls it success by now")
	}
	node := routes(drainedCluster(t))
	if _, err := ours(t, node).Inventory(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range node.requests() {
		if strings.HasSuffix(r.path, "/groups") {
			t.Error("PVE 9 was asked for groups")
		}
	}
}
