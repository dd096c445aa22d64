package pve

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	version92 = `{"data":{"release":"9.2","repoid":"x","version":"9.2.11"}}`
	version90 = `{"data":{"release":"9.0","repoid":"x","version":"9.0.10"}}`
	version84 = `{"data":{"release":"8.4","repoid":"x","version":"8.4.14"}}`

	digest  = "e863e9765fae6a4dce13525c4b9bff0ab402a573"
	started = `{"data":"UPID:node1:00000DE6:0004ECAB:6B00E143:qmigrate:100:psw@pve!ha:"}`
	done    = `{"data":null}`
)

var (
	vm100 = ha.MustSID("vm:100")
	ct200 = ha.MustSID("ct:200")
)

// world is what the node answers in a story of TestDo. Missing reads are refused; changes
// are answered with null, or a task where one is due.
type world map[string]string

func (w world) node() *proxmoxd {
	p := &proxmoxd{}
	p.answer = func(req *http.Request, body string) (*http.Response, error) {
		key := req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api2/json")
		answer, ok := w[key]
		switch {
		case ok && strings.HasPrefix(answer, "500 "):
			return refuse(req, 500, strings.TrimPrefix(answer, "500 ")), nil
		case ok:
			return reply(req, 200, "OK", answer), nil
		case key == "GET /version":
			return reply(req, 200, "OK", version92), nil
		case req.Method == http.MethodGet:
			return refuse(req, 500, "no such resource '"+key+"'"), nil
		case strings.Contains(key, "/nodes/"):
			return reply(req, 200, "OK", started), nil
		}
		return reply(req, 200, "OK", done), nil
	}
	return p
}

// asked are the changing requests, one a line.
func asked(p *proxmoxd) string {
	var list []string
	for _, r := range p.requests() {
		if r.method != http.MethodGet {
			list = append(list, r.String())
		}
	}
	return strings.Join(list, "\n")
}

// What each action asks of Proxmox. Every request is held against Proxmox's own schema.
func TestDo(t *testing.T) {
	resource := ha.Resource{SID: vm100, State: ha.RequestStarted, MaxRestart: 2, MaxRelocate: 1, Failback: false, Comment: "psw"}
	stored := `{"data":{"sid":"vm:100","type":"vm","max_restart":2,"failback":0,"comment":"psw","digest":"` + digest + `"}}`
	pin := ha.Rule{ID: "psw-pin", Type: ha.NodeAffinity, Resources: []ha.SID{vm100}, Nodes: []ha.RuleNode{{Node: "node1", Priority: 2}, {Node: "node2"}}, Strict: true, Comment: "psw"}
	storedPin := `{"data":{"rule":"psw-pin","type":"node-affinity","resources":"vm:100","nodes":"node2,node1:2","strict":1,"comment":"psw","order":1,"digest":"` + digest + `"}}`
	apart := ha.Rule{ID: "psw-apart", Type: ha.ResourceAffinity, Affinity: ha.Negative, Resources: []ha.SID{vm100, ct200}}
	storedApart := `{"data":{"rule":"psw-apart","type":"resource-affinity","resources":"ct:200,vm:100","affinity":"positive","disable":1,"comment":"old","digest":"` + digest + `"}}`
	with := func(r ha.Rule, change func(*ha.Rule)) ha.Rule { change(&r); return r }
	task := "UPID:node1:00000DE6:0004ECAB:6B00E143:qmigrate:100:psw@pve!ha:"

	for _, tt := range []struct {
		name   string
		world  world
		action ha.Action
		asked  string
		upid   string
	}{
		{"live migration of a VM", nil, ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodLive},
			`POST /nodes/node1/qemu/100/migrate {"online":1,"target":"node2"}`, task},
		{"move of a stopped VM", nil, ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodOffline},
			`POST /nodes/node1/qemu/100/migrate {"target":"node2"}`, task},
		{"move of a running container", nil, ha.Migrate{SID: ct200, From: "node1", To: "node2", Method: ha.MethodRestart},
			`POST /nodes/node1/lxc/200/migrate {"restart":1,"target":"node2"}`, task},
		{"move of a stopped container", nil, ha.Migrate{SID: ct200, From: "node1", To: "node2", Method: ha.MethodOffline},
			`POST /nodes/node1/lxc/200/migrate {"target":"node2"}`, task},
		{"move by the HA manager", world{"POST /cluster/ha/resources/vm:100/migrate": recorded(t, "migrate-accepted")},
			ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodLive, HA: true},
			`POST /cluster/ha/resources/vm:100/migrate {"node":"node2"}`, ""},
		{"move by the HA manager, others come along", world{"POST /cluster/ha/resources/vm:100/migrate": recorded(t, "migrate-comigrated")},
			ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodLive, HA: true},
			`POST /cluster/ha/resources/vm:100/migrate {"node":"node2"}`, ""},
		{"move by the HA manager of PVE 8", world{"POST /cluster/ha/resources/ct:200/migrate": done},
			ha.Migrate{SID: ct200, From: "node1", To: "node2", Method: ha.MethodRestart, HA: true},
			`POST /cluster/ha/resources/ct:200/migrate {"node":"node2"}`, ""},

		{"shutdown", nil, ha.Shutdown{SID: vm100, Node: "node1"}, `POST /nodes/node1/qemu/100/status/shutdown`, task},
		{"start", nil, ha.Start{SID: ct200, Node: "node1"}, `POST /nodes/node1/lxc/200/status/start`, task},
		{"shutdown by the HA manager", nil, ha.Shutdown{SID: vm100, Node: "node1", HA: true}, `PUT /cluster/ha/resources/vm:100 {"state":"stopped"}`, ""},
		{"start by the HA manager", nil, ha.Start{SID: vm100, Node: "node1", HA: true}, `PUT /cluster/ha/resources/vm:100 {"state":"started"}`, ""},
		{"shutdown of what is down", world{"POST /nodes/node1/lxc/200/status/shutdown": "500 CT 200 not running"},
			ha.Shutdown{SID: ct200, Node: "node1"}, `POST /nodes/node1/lxc/200/status/shutdown`, ""},
		{"start of what runs", world{"POST /nodes/node1/qemu/100/status/start": "500 VM 100 already running"},
			ha.Start{SID: vm100, Node: "node1"}, `POST /nodes/node1/qemu/100/status/start`, ""},

		{"register", nil, ha.AddResource{Resource: resource},
			`POST /cluster/ha/resources {"comment":"psw","failback":0,"max_relocate":1,"max_restart":2,"sid":"vm:100","state":"started"}`, ""},
		{"register on PVE 8, which has no failback", world{"GET /version": version84}, ha.AddResource{Resource: resource},
			`POST /cluster/ha/resources {"comment":"psw","max_relocate":1,"max_restart":2,"sid":"vm:100","state":"started"}`, ""},
		{"register what is registered so", world{
			"POST /cluster/ha/resources":       "500 create resource failed: resource ID 'vm:100' already defined",
			"GET /cluster/ha/resources/vm:100": stored,
		}, ha.AddResource{Resource: resource},
			`POST /cluster/ha/resources {"comment":"psw","failback":0,"max_relocate":1,"max_restart":2,"sid":"vm:100","state":"started"}`, ""},
		{"change nothing", world{"GET /cluster/ha/resources/vm:100": stored}, ha.UpdateResource{Resource: resource}, ``, ""},
		{"change what differs", world{"GET /cluster/ha/resources/vm:100": `{"data":{"sid":"vm:100","state":"stopped","digest":"` + digest + `","max_restart":"3"}}`},
			ha.UpdateResource{Resource: resource},
			`PUT /cluster/ha/resources/vm:100 {"comment":"psw","digest":"` + digest + `","failback":0,"max_restart":2,"state":"started"}`, ""},
		{"change, guarded by the digest of the plan", world{"GET /cluster/ha/resources/vm:100": stored},
			ha.UpdateResource{Resource: ha.Resource{SID: vm100, State: ha.RequestStarted, MaxRestart: 2, MaxRelocate: 0, Digest: "0123abc"}},
			`PUT /cluster/ha/resources/vm:100 {"delete":"comment","digest":"0123abc","max_relocate":0}`, ""},
		{"unregister", nil, ha.RemoveResource{SID: vm100}, `DELETE /cluster/ha/resources/vm:100?purge=0`, ""},
		{"unregister on 9.0, which has no purge", world{"GET /version": version90}, ha.RemoveResource{SID: vm100}, `DELETE /cluster/ha/resources/vm:100`, ""},
		{"unregister what is gone", world{"DELETE /cluster/ha/resources/vm:100": "500 cannot delete service 'vm:100', not HA managed!"},
			ha.RemoveResource{SID: vm100}, `DELETE /cluster/ha/resources/vm:100?purge=0`, ""},

		{"create a rule", nil, ha.PutRule{Rule: pin, Create: true},
			`POST /cluster/ha/rules {"comment":"psw","nodes":"node1:2,node2","resources":"vm:100","rule":"psw-pin","strict":1,"type":"node-affinity"}`, ""},
		{"create a rule that is not strict", nil, ha.PutRule{Rule: with(pin, func(r *ha.Rule) { r.Strict, r.Comment = false, "" }), Create: true},
			`POST /cluster/ha/rules {"nodes":"node1:2,node2","resources":"vm:100","rule":"psw-pin","type":"node-affinity"}`, ""},
		{"create a rule of resources", nil, ha.PutRule{Rule: with(apart, func(r *ha.Rule) { r.Disabled = true }), Create: true},
			`POST /cluster/ha/rules {"affinity":"negative","disable":1,"resources":"ct:200,vm:100","rule":"psw-apart","type":"resource-affinity"}`, ""},
		{"create a rule that is there", world{
			"POST /cluster/ha/rules":        "500 create ha rule failed: HA rule 'psw-pin' already defined",
			"GET /cluster/ha/rules/psw-pin": storedPin,
		}, ha.PutRule{Rule: pin, Create: true},
			`POST /cluster/ha/rules {"comment":"psw","nodes":"node1:2,node2","resources":"vm:100","rule":"psw-pin","strict":1,"type":"node-affinity"}`, ""},
		{"change nothing of a rule", world{"GET /cluster/ha/rules/psw-pin": storedPin}, ha.PutRule{Rule: pin}, ``, ""},
		{"loosen a rule and drop its comment", world{"GET /cluster/ha/rules/psw-pin": storedPin},
			ha.PutRule{Rule: with(pin, func(r *ha.Rule) { r.Strict, r.Comment = false, "" })},
			`PUT /cluster/ha/rules/psw-pin {"delete":"strict,comment","digest":"` + digest + `","type":"node-affinity"}`, ""},
		{"disable a rule and change its nodes", world{"GET /cluster/ha/rules/psw-pin": storedPin},
			ha.PutRule{Rule: with(pin, func(r *ha.Rule) { r.Disabled, r.Nodes = true, r.Nodes[:1] })},
			`PUT /cluster/ha/rules/psw-pin {"digest":"` + digest + `","disable":1,"nodes":"node1:2","type":"node-affinity"}`, ""},
		{"enable a rule and turn it round", world{"GET /cluster/ha/rules/psw-apart": storedApart}, ha.PutRule{Rule: apart},
			`PUT /cluster/ha/rules/psw-apart {"affinity":"negative","delete":"disable,comment","digest":"` + digest + `","type":"resource-affinity"}`, ""},
		{"remove a rule", nil, ha.RemoveRule{ID: "psw-apart"}, `DELETE /cluster/ha/rules/psw-apart`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.world.node()
			upid, err := ours(t, p).Do(t.Context(), tt.action)
			if err != nil {
				t.Fatal(err)
			}
			if got := asked(p); got != tt.asked {
				t.Errorf("asked\n%s\nwant\n%s", got, tt.asked)
			}
			if upid != tt.upid {
				t.Errorf("task %q, want %q", upid, tt.upid)
			}
			s := readSchema(t)
			for _, r := range p.requests() {
				if err := s.check(r); err != nil {
					t.Errorf("Proxmox would refuse %s: %v", r, err)
				}
			}
		})
	}
}

// What Proxmox refuses, or would only pretend to do, is an error; asked says how much of
// it Proxmox got to hear.
func TestDoRefused(t *testing.T) {
	wrong := `{"data":{"sid":"vm:100","state":"stopped","digest":"` + digest + `"}}`
	other := `{"data":{"rule":"psw-pin","type":"resource-affinity","resources":"vm:100,vm:101","affinity":"positive"}}`
	add := ha.AddResource{Resource: ha.Resource{SID: vm100, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}}
	pin := ha.Rule{ID: "psw-pin", Type: ha.NodeAffinity, Resources: []ha.SID{vm100}, Nodes: []ha.RuleNode{{Node: "node1"}}}

	for _, tt := range []struct {
		name   string
		world  world
		action ha.Action
		kind   ha.Kind
		says   string
		asked  int
	}{
		{"blocked by negative affinity, though answered 200", world{"POST /cluster/ha/resources/vm:100/migrate": recorded(t, "migrate-blocked")},
			ha.Migrate{SID: vm100, From: "pve1", To: "pve3", Method: ha.MethodLive, HA: true}, ha.Conflict,
			"the HA manager will not move vm:100 to pve3 while vm:102 (resource-affinity) is there", 1},
		{"registered otherwise", world{
			"POST /cluster/ha/resources":       "500 create resource failed: resource ID 'vm:100' already defined",
			"GET /cluster/ha/resources/vm:100": wrong,
		}, add, ha.Conflict, "already defined", 1},
		{"rule is there, otherwise", world{
			"POST /cluster/ha/rules":        "500 create ha rule failed: HA rule 'psw-pin' already defined",
			"GET /cluster/ha/rules/psw-pin": other,
		}, ha.PutRule{Rule: pin, Create: true}, ha.Conflict, "already defined", 1},
		{"somebody else changed the file", world{
			"GET /cluster/ha/resources/vm:100": wrong,
			"PUT /cluster/ha/resources/vm:100": "500 update resources config failed: detected modified configuration - file changed by other user? Try again.",
		}, ha.UpdateResource{Resource: add.Resource}, ha.Conflict, "detected modified configuration", 1},
		{"not registered", nil, ha.UpdateResource{Resource: add.Resource}, ha.NotFound, "no such resource", 0},
		{"another type of rule", world{"GET /cluster/ha/rules/psw-pin": other}, ha.PutRule{Rule: pin}, ha.Conflict, "remove it first", 0},
		{"no quorum", world{"POST /cluster/ha/resources": "500 cluster not ready - no quorum?"}, add, ha.NotReady, "pvecm status", 1},
		{"resource in error", world{"PUT /cluster/ha/resources/vm:100": "500 service 'vm:100' in error state, must be disabled and fixed first"},
			ha.Start{SID: vm100, HA: true}, ha.NotReady, "--state disabled", 1},
		{"rules on PVE 8", world{"GET /version": version84}, ha.PutRule{Rule: pin, Create: true}, ha.Invalid, "HA rules need Proxmox VE 9; this is 8.4.14", 0},
		{"release unknown", world{"GET /version": "500 boom"}, add, ha.Internal, "boom", 0},

		{"maintenance mode", nil, ha.SetNodeMaintenance{Node: "node1", On: true}, ha.Internal, "order for an agent", 0},
		{"live migration of a container", nil, ha.Migrate{SID: ct200, From: "node1", To: "node2", Method: ha.MethodLive}, ha.Invalid, `cannot move a ct by the method "live"`, 0},
		{"restart migration of a VM", nil, ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodRestart}, ha.Invalid, `cannot move a vm by the method "restart"`, 0},
		{"no destination", nil, ha.Migrate{SID: vm100, From: "node1", Method: ha.MethodLive}, ha.Invalid, "not the name of a node", 0},
		{"a path for a node", nil, ha.Shutdown{SID: vm100, Node: "../../access"}, ha.Invalid, "not the name of a node", 0},
		{"no guest", nil, ha.Start{Node: "node1"}, ha.Invalid, "not a guest name", 0},
		{"a path for a rule", nil, ha.RemoveRule{ID: "../resources/vm:100"}, ha.Invalid, "cannot be the name of an HA rule", 0},
		{"a rule about nothing", nil, ha.PutRule{Rule: ha.Rule{ID: "psw-pin", Type: ha.NodeAffinity, Nodes: pin.Nodes}}, ha.Invalid, "names no resource", 0},
		{"a rule of no type", nil, ha.PutRule{Rule: ha.Rule{ID: "psw-pin", Resources: pin.Resources}}, ha.Invalid, "no type", 0},
		{"a rule without nodes", nil, ha.PutRule{Rule: ha.Rule{ID: "psw-pin", Type: ha.NodeAffinity, Resources: pin.Resources}}, ha.Invalid, "names no node", 0},
		{"nothing", nil, nil, ha.Internal, "none", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.world.node()
			upid, err := ours(t, p).Do(t.Context(), tt.action)
			if err == nil || upid != "" {
				t.Fatalf("task %q, %v", upid, err)
			}
			if ha.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "cannot ") {
				t.Errorf("kind %s: %v", ha.KindOf(err), err)
			}
			if !Refused(err) {
				t.Errorf("nothing was done, but it is not taken for refused: %v", err)
			}
			if n := len(strings.Fields(strings.ReplaceAll(asked(p), " ", ""))); n != tt.asked {
				t.Errorf("asked\n%s", asked(p))
			}
		})
	}
}

// The names in a blocked move can be got at.
func TestBlockedErrorIsFound(t *testing.T) {
	p := world{"POST /cluster/ha/resources/vm:100/migrate": recorded(t, "migrate-blocked")}.node()
	_, err := ours(t, p).Do(t.Context(), ha.Migrate{SID: vm100, To: "pve3", HA: true})
	var blocked *BlockedError
	if !errors.As(err, &blocked) || len(blocked.Blockers) != 1 || blocked.Node != "pve3" {
		t.Errorf("%+v", blocked)
	}
}

// A guest that became HA-managed since the plan was made: the request went to the HA
// manager's queue, and the log says so.
func TestTaskThatOnlyQueues(t *testing.T) {
	log, text := logged()
	p := world{"POST /nodes/node1/qemu/100/migrate": `{"data":"UPID:node1:00000DE6:0004ECAB:6B00E143:hamigrate:100:psw@pve!ha:"}`}.node()
	c, err := New(Config{Endpoints: []string{"https://node1:8006"}, TokenID: testToken, TokenSecret: testSecret, Transport: p, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	upid, err := c.Do(t.Context(), ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodLive})
	if err != nil || !strings.Contains(upid, "hamigrate") || !strings.Contains(text.String(), "only queues the request") {
		t.Errorf("%q, %v\n%s", upid, err, text)
	}
}

// The reads, too, are calls Proxmox knows.
func TestReadsAreInSchema(t *testing.T) {
	s := readSchema(t)
	p := routes(drainedCluster(t))
	c := ours(t, p)
	if _, err := c.Inventory(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = c.WaitTask(t.Context(), migrateTask)
	_, _, _ = c.Downtime(t.Context(), migrateTask)
	if len(p.requests()) < 13 {
		t.Errorf("only %d requests", len(p.requests()))
	}
	for _, r := range p.requests() {
		if err := s.check(r); err != nil {
			t.Errorf("Proxmox would refuse %s: %v", r, err)
		}
	}
}
