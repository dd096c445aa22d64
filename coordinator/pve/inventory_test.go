package pve

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// A cluster put together from recordings (pve2 drained, HA disarmed, all kinds of guests)
// becomes the inventory in testdata/drained.golden.
func TestInventoryOfRecordedCluster(t *testing.T) {
	inv, err := ours(t, routes(drainedCluster(t))).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inv.At = time.Time{}
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetIndent("", " ")
	if err := enc.Encode(inv); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "drained.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
}

// big makes a cluster of that many guests on that many nodes, as routes.
func big(guests, members int) map[string]string {
	var status, rows, configured, services, lrms, states []string
	status = append(status, fmt.Sprintf(`{"type":"cluster","id":"cluster","name":"big","quorate":1,"nodes":%d,"version":3}`, members))
	for n := 1; n <= members; n++ {
		status = append(status, fmt.Sprintf(`{"type":"node","id":"node/n%d","name":"n%d","nodeid":%d,"ip":"10.0.0.%d","online":1,"local":%d,"level":""}`, n, n, n, n, bit(n == 1)))
		rows = append(rows, fmt.Sprintf(`{"type":"node","id":"node/n%d","node":"n%d","status":"online","maxcpu":64,"cpu":0.25,"maxmem":549755813888,"mem":274877906944,"uptime":86400,"level":"","hastate":"online","cgroup-mode":2,"disk":1,"maxdisk":2}`, n, n))
		for _, s := range []string{"local", "nas"} {
			rows = append(rows, fmt.Sprintf(`{"type":"storage","id":"storage/n%d/%s","node":"n%d","storage":"%s","status":"available","plugintype":"nfs","shared":%d,"content":"images,rootdir","disk":1000,"maxdisk":2000}`, n, s, n, s, bit(s == "nas")))
		}
		states = append(states, fmt.Sprintf(`"n%d":"online"`, n))
		lrms = append(lrms, fmt.Sprintf(`"n%d":{"mode":"active","state":"active","timestamp":1795224010,"results":{}}`, n))
	}
	for g := range guests {
		id, n := 100+g, g%members+1
		kind := []string{"qemu", "lxc"}[g%2]
		sid := []string{"vm", "ct"}[g%2]
		rows = append(rows, fmt.Sprintf(`{"type":"%s","id":"%s/%d","vmid":%d,"node":"n%d","name":"guest%d","status":"running","template":0,"maxcpu":%s,"cpu":0.01,"maxmem":2147483648,"mem":1073741824,"memhost":0,"maxdisk":1073741824,"disk":0,"diskread":0,"diskwrite":0,"netin":0,"netout":0,"uptime":86400,"hastate":"started","tags":"db;prod"}`,
			kind, kind, id, id, n, id, []string{"2", "0.5"}[g%2]))
		configured = append(configured, fmt.Sprintf(`{"sid":"%s:%d","type":"%s","state":"started","digest":"e863e9765fae6a4dce13525c4b9bff0ab402a573"}`, sid, id, sid))
		services = append(services, fmt.Sprintf(`"%s:%d":{"node":"n%d","state":"started","running":1,"uid":"la3N04eH72JuMldrJIOuRQ"}`, sid, id, n))
	}
	data := func(list []string) string { return `{"data":[` + strings.Join(list, ",") + `]}` }
	return map[string]string{
		"GET /version":              `{"data":{"version":"9.2.11","release":"9.2","repoid":"x"}}`,
		"GET /access/permissions":   `{"data":{"/":{"Sys.Audit":1,"VM.Audit":1,"Datastore.Audit":1}}}`,
		"GET /cluster/status":       data(status),
		"GET /cluster/resources":    data(rows),
		"GET /storage":              `{"data":[{"storage":"nas","type":"nfs","server":"10.0.0.250","export":"/srv","path":"/mnt/pve/nas","content":"images,rootdir"}]}`,
		"GET /cluster/ha/resources": data(configured),
		"GET /cluster/ha/rules":     `{"data":[]}`,
		"GET /cluster/ha/status/manager_status": `{"data":{"manager_status":{"master_node":"n1","timestamp":1795224010,"node_status":{` + strings.Join(states, ",") +
			`},"service_status":{` + strings.Join(services, ",") + `}},"lrm_status":{` + strings.Join(lrms, ",") + `},"quorum":{"node":"n1","quorate":"1"}}}`,
		"GET /cluster/ha/status/current": `{"data":[{"type":"fencing","id":"fencing","node":"n1","armed-state":"armed"}]}`,
		"GET /cluster/options":           `{"data":{}}`,
		"GET /cluster/tasks":             `{"data":[]}`,
	}
}

// An inventory costs nine calls, eleven the first time and every ten minutes, with three
// guests and with three thousand.
func TestInventoryCallsAreConstant(t *testing.T) {
	for _, n := range []int{3, 3000} {
		synctest.Test(t, func(t *testing.T) {
			p := routes(big(n, 3))
			c := ours(t, p)
			for round, want := range []int{11, 9, 9, 11} {
				before := len(p.requests())
				inv, err := c.Inventory(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := len(p.requests()) - before; got != want {
					t.Errorf("%d guests, round %d: %d calls, want %d", n, round, got, want)
				}
				if len(inv.Guests) != n || len(inv.HA.Services) != n || len(inv.Resources) != n || len(inv.Failures) != 0 {
					t.Errorf("%d guests: got %d guests, %d services, failures %v", n, len(inv.Guests), len(inv.HA.Services), inv.Failures)
				}
				if round == 2 {
					time.Sleep(releaseAgeMax)
				}
			}
		})
	}
}

// Lists are in the order the vocabulary promises, so that lookups find.
func TestInventoryIsSorted(t *testing.T) {
	inv, err := ours(t, routes(big(1200, 12))).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range inv.Guests {
		if got, ok := inv.Guest(g.SID); !ok || got.Name != g.Name {
			t.Fatalf("guest %s is not found", g.SID)
		}
		if _, ok := inv.Resource(g.SID); !ok {
			t.Fatalf("resource %s is not found", g.SID)
		}
		if _, ok := inv.HA.Service(g.SID); !ok {
			t.Fatalf("service %s is not found", g.SID)
		}
	}
	for _, n := range inv.Nodes {
		if got, ok := inv.Node(n.Name); !ok || got.ID != n.ID {
			t.Errorf("node %s is not found", n.Name)
		}
	}
	if s, ok := inv.Storage("nas"); !ok || !s.AvailableOn("n7") {
		t.Errorf("storage: %+v, %v", s, ok)
	}
}

// A part that is refused is named; what an inventory cannot do without makes it an error.
func TestInventoryFailures(t *testing.T) {
	for path, part := range map[string]string{
		"/storage": "storages", "/cluster/ha/rules": "rules", "/cluster/ha/status/current": "armed",
		"/cluster/options": "options", "/cluster/tasks": "tasks",
		"/cluster/status": "", "/cluster/resources": "", "/cluster/ha/resources": "", "/cluster/ha/status/manager_status": "",
		"/version": "", "/access/permissions": "",
	} {
		for name, answer := range map[string]func(*http.Request) *http.Response{
			"refused": func(req *http.Request) *http.Response {
				return refuse(req, 403, "Permission check failed (/, Sys.Audit)")
			},
			"null":    func(req *http.Request) *http.Response { return reply(req, 200, "OK", `{"data":null}`) },
			"no data": func(req *http.Request) *http.Response { return reply(req, 200, "OK", `{"data":"soon"}`) },
		} {
			world := drainedCluster(t)
			inner := routes(world)
			p := &proxmoxd{}
			p.answer = func(req *http.Request, body string) (*http.Response, error) {
				if strings.HasSuffix(req.URL.Path, "/api2/json"+path) {
					return answer(req), nil
				}
				return inner.answer(req, body)
			}
			inv, err := ours(t, p).Inventory(t.Context())
			switch {
			case part == "":
				if err == nil {
					t.Errorf("%s %s: no error", path, name)
				} else if name == "refused" && ha.KindOf(err) != ha.Denied {
					t.Errorf("%s %s: kind %s: %v", path, name, ha.KindOf(err), err)
				}
			case err != nil:
				t.Errorf("%s %s: %v", path, name, err)
			case len(inv.Failures) != 1 || !strings.HasPrefix(inv.Failures[0], part+": "):
				t.Errorf("%s %s: failures %q", path, name, inv.Failures)
			}
		}
	}
}

// The state of the storages is known even if their configuration is not.
func TestInventoryStoragesWithoutConfiguration(t *testing.T) {
	world := drainedCluster(t)
	delete(world, "GET /storage")
	inv, err := ours(t, routes(world)).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, ok := inv.Storage("shared")
	if !ok || !s.Shared || s.Type != "dir" || !s.AvailableOn("pve3") {
		t.Errorf("%+v, %v", s, ok)
	}
}

// A token that does not see everything is told so, and again until it is mended.
func TestInventoryNeedsAuditRights(t *testing.T) {
	world := drainedCluster(t)
	world["GET /access/permissions"] = recorded(t, "permissions-some")
	c := ours(t, routes(world))
	for range 2 {
		_, err := c.Inventory(t.Context())
		if ha.KindOf(err) != ha.Denied || !strings.Contains(err.Error(), "VM.Audit on /vms") || !strings.Contains(err.Error(), "PVEAuditor") {
			t.Errorf("err = %v", err)
		}
	}
	world["GET /access/permissions"] = recorded(t, "permissions-auditor")
	if _, err := c.Inventory(t.Context()); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// nodesOf answers each node's requests by its own routes; a node without routes is down.
func nodesOf(worlds map[string]map[string]string) *proxmoxd {
	p := &proxmoxd{}
	p.answer = func(req *http.Request, body string) (*http.Response, error) {
		world, ok := worlds[req.URL.Hostname()]
		if !ok {
			return nil, errRefused
		}
		return routes(world).answer(req, body)
	}
	return p
}

// The first node lost quorum and shows an old picture: the second one is believed.
func TestInventoryPrefersQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minority := drainedCluster(t)
		minority["GET /cluster/status"] = recorded(t, "cluster-status-minority")
		minority["GET /cluster/ha/status/manager_status"] = recorded(t, "manager-status-minority")
		majority := drainedCluster(t)
		majority["GET /cluster/status"] = strings.ReplaceAll(strings.ReplaceAll(majority["GET /cluster/status"], `"local":1`, `"local":2`), `"name":"pve2","local":0`, `"name":"pve2","local":1`)
		c := ours(t, nodesOf(map[string]map[string]string{"pve1": minority, "pve2": majority}), "pve1", "pve3", "pve2")
		inv, err := c.Inventory(t.Context())
		if err != nil || !inv.Cluster.Quorate || c.transport.current.Load() != 2 {
			t.Errorf("quorate %v, %v; asks endpoint %d next", inv.Cluster.Quorate, err, c.transport.current.Load())
		}

		alone := ours(t, nodesOf(map[string]map[string]string{"pve1": minority}), "pve1", "pve3")
		inv, err = alone.Inventory(t.Context())
		if err != nil || inv.Cluster.Quorate || inv.HA.Quorate || inv.Source != "pve1" {
			t.Errorf("without any quorate node: %v, source %s, quorate %v/%v", err, inv.Source, inv.Cluster.Quorate, inv.HA.Quorate)
		}
		if inv.Cluster.Votes != 1 || inv.Cluster.Expected != 3 {
			t.Errorf("votes %d of %d", inv.Cluster.Votes, inv.Cluster.Expected)
		}
	})
}

// A node dies in the middle of a reading: nothing of what it said is mixed into the
// answer of the next.
func TestInventoryBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := big(3, 3), big(5, 3)
		inner := nodesOf(map[string]map[string]string{"n1": one, "n2": two})
		p := &proxmoxd{}
		p.answer = func(req *http.Request, body string) (*http.Response, error) {
			if req.URL.Hostname() == "n1" && strings.HasSuffix(req.URL.Path, "/manager_status") {
				return nil, errBroken
			}
			return inner.answer(req, body)
		}
		inv, err := ours(t, p, "n1", "n2").Inventory(t.Context())
		if err != nil || len(inv.Guests) != 5 || len(inv.HA.Services) != 5 {
			t.Errorf("%d guests, %d services, %v", len(inv.Guests), len(inv.HA.Services), err)
		}
	})
}

// The first node is down: it is tried once, not three times.
func TestInventoryPassesOverADeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := nodesOf(map[string]map[string]string{"n2": big(3, 3)})
		begun := time.Now()
		if _, err := ours(t, p, "n1", "n2").Inventory(t.Context()); err != nil || time.Since(begun) != 0 {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		if n := strings.Count(hosts(p), "n1"); n != 1 {
			t.Errorf("the dead node was tried %d times", n)
		}
	})
}

func TestInventoryOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := ours(t, nodesOf(nil), "node1", "node2").Inventory(t.Context())
		if ha.KindOf(err) != ha.Unavailable || !strings.Contains(err.Error(), "node1:8006") || !strings.Contains(err.Error(), "node2:8006") || strings.Contains(err.Error(), "\n") {
			t.Errorf("err = %v", err)
		}
	})
}

// The power of pve3 was cut a minute ago: the API still calls its guest running, its
// storages have no state, its figures are gone.
func TestInventoryAfterPowerLoss(t *testing.T) {
	world := drainedCluster(t)
	world["GET /cluster/status"] = recorded(t, "cluster-status-power-lost")
	world["GET /cluster/resources"] = recorded(t, "resources-power-lost")
	inv, err := ours(t, routes(world)).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := inv.Node("pve3")
	if n.Online || n.MemoryMax != 0 || n.CPUs != 0 || n.IP != "10.99.7.13" || n.ID != 3 {
		t.Errorf("node %+v", n)
	}
	g, _ := inv.Guest(ha.MustSID("vm:100"))
	if g.Node != "pve3" || !g.Running() || g.HAState != ha.ServiceFence {
		t.Errorf("guest %+v", g)
	}
	s, _ := inv.Storage("shared")
	if slices.ContainsFunc(s.On, func(on ha.StorageOn) bool { return on.Node == "pve3" }) || len(s.On) != 2 {
		t.Errorf("storage on %+v", s.On)
	}
}

// A PVE 8 cluster: no rules, but groups, which are read as the rules they amount to.
func TestInventoryOfPVE8(t *testing.T) {
	world := drainedCluster(t)
	delete(world, "GET /cluster/ha/rules")
	world["GET /version"] = `{"data":{"release":"8.4","repoid":"x","version":"8.4.14"}}`
	world["GET /cluster/ha/groups"] = `{"data":[{"group":"rack1","type":"group","nodes":"pve2:2,pve1","restricted":1,"nofailback":"1","comment":"left"},
		{"group":"unused","type":"group","nodes":"pve3"}]}`
	world["GET /cluster/ha/resources"] = `{"data":[{"sid":"vm:101","type":"vm","group":"rack1"},{"sid":"vm:100","type":"vm","group":"rack1","state":"enabled"},{"sid":"ct:200","type":"ct"}]}`
	world["GET /cluster/ha/status/current"] = `{"data":[{"type":"quorum","id":"quorum","node":"pve1","quorate":1,"status":"OK"}]}`
	world["GET /cluster/ha/status/manager_status"] = recorded(t, "manager-status-unused")
	inv, err := ours(t, routes(world)).Inventory(t.Context())
	if err != nil || len(inv.Failures) > 0 {
		t.Fatal(err, inv.Failures)
	}
	want := []ha.Rule{{
		ID: "ha-group-rack1", Type: ha.NodeAffinity, Resources: []ha.SID{ha.MustSID("vm:100"), ha.MustSID("vm:101")},
		Nodes: []ha.RuleNode{{Node: "pve1"}, {Node: "pve2", Priority: 2}}, Strict: true, Comment: "left",
	}}
	if diff := cmp.Diff(want, inv.Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	for sid, failback := range map[string]bool{"vm:100": false, "vm:101": false, "ct:200": true} {
		r, ok := inv.Resource(ha.MustSID(sid))
		if !ok || r.Failback != failback || r.State != ha.RequestStarted {
			t.Errorf("%s: %+v, %v", sid, r, ok)
		}
	}
	if inv.HA.Armed != "" || inv.HA.Master != "" {
		t.Errorf("HA %+v", inv.HA)
	}
}

func TestInventoryOfStandaloneNode(t *testing.T) {
	world := drainedCluster(t)
	world["GET /cluster/status"] = `{"data":[{"type":"node","id":"node/pve1","name":"pve1","nodeid":0,"ip":"10.99.7.11","online":1,"local":1,"level":""}]}`
	world["GET /cluster/ha/status/manager_status"] = recorded(t, "manager-status-unused")
	inv, err := ours(t, routes(world)).Inventory(t.Context())
	if err != nil || !inv.Cluster.Standalone || inv.Cluster.Expected != 1 || !inv.Cluster.Quorate {
		t.Errorf("%+v, %v", inv.Cluster, err)
	}
}

// Whatever a node answers, reading it does not panic, and what comes out is in order.
func FuzzInventory(f *testing.F) {
	recordings := drainedCluster(f)
	paths := slices.Sorted(maps.Keys(recordings))
	for k, path := range paths {
		f.Add(uint8(k), []byte(recordings[path]))
		f.Add(uint8(k), []byte(`{"data":null}`))
		f.Add(uint8(k), []byte(`{"data":[{}]}`))
		f.Add(uint8(k), []byte(`{"data":{"":{}}}`))
	}
	f.Add(uint8(4), []byte(recorded(f, "ha-resources-states")))
	f.Fuzz(func(t *testing.T, k uint8, body []byte) {
		world := maps.Clone(recordings)
		world[paths[int(k)%len(paths)]] = string(body)
		synctest.Test(t, func(t *testing.T) { // what is no answer is asked for again, after a pause
			c := ours(t, routes(world))
			inv, err := c.Inventory(t.Context())
			if err == nil && !slices.IsSortedFunc(inv.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) }) {
				t.Error("guests are not sorted")
			}
			if err == nil {
				if _, err := json.Marshal(inv); err != nil {
					t.Errorf("the inventory cannot be stored: %v", err)
				}
			}
			_, _ = c.Permissions(t.Context())
		})
	})
}
