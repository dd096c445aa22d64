package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// large is a cluster too big for the simulator, at rest: half of its guests are HA-managed
// and declared. Its answers have the simulator's shapes.
type large struct {
	nodes, guests int
	answers       map[string]string // by path
	calls         int
}

// object is a row of an answer.
type object = map[string]any

func newLarge(nodes, guests int) *large {
	l := &large{nodes: nodes, guests: guests, answers: make(map[string]string)}
	answer := func(path string, data any) {
		text, err := json.Marshal(object{"data": data})
		if err != nil {
			panic(err)
		}
		l.answers["/api2/json"+path] = string(text)
	}
	status := []object{{"id": "cluster", "name": "large", "nodes": nodes, "quorate": 1, "type": "cluster", "version": nodes}}
	var rows, resources []object
	nodeStatus, lrm, services := object{}, object{}, object{}
	for n := range nodes {
		name := l.node(n)
		local := 0
		if n == 0 {
			local = 1
		}
		status = append(status, object{"id": "node/" + name, "ip": fmt.Sprintf("10.99.%d.%d", n/250, n%250+1), "level": "", "local": local,
			"name": name, "nodeid": n + 1, "online": 1, "type": "node"})
		rows = append(rows, object{"id": "node/" + name, "node": name, "type": "node", "status": "online", "hastate": "online", "cpu": 0.01,
			"maxcpu": 64, "maxmem": 512 * gib, "mem": 64 * gib, "uptime": 3650},
			object{"content": "images,rootdir", "disk": 1 << 36, "id": "storage/" + name + "/psw", "maxdisk": 1 << 40, "node": name, "plugintype": "nfs",
				"shared": 1, "status": "available", "storage": "psw", "type": "storage"})
		nodeStatus[name] = "online"
		lrm[name] = object{"mode": "active", "state": "active", "timestamp": time.Now().Unix(), "results": object{}}
	}
	for g := range guests {
		id, node := l.vmid(g), l.node(g%nodes)
		rows = append(rows, object{"id": fmt.Sprintf("qemu/%d", id), "vmid": id, "name": l.name(g), "node": node, "status": "running", "type": "qemu",
			"template": 0, "maxcpu": 1, "cpu": 0.01, "maxmem": 2 * gib, "mem": gib, "maxdisk": gib, "uptime": 3600, "memhost": 0, "netin": 0, "netout": 0})
		if g%2 == 0 {
			sid := fmt.Sprintf("vm:%d", id)
			resources = append(resources, object{"sid": sid, "state": "started", "type": "vm", "failback": 0, "max_restart": 1, "max_relocate": 1,
				"comment": "psw-ha: target " + l.name(g), "digest": "c39e80a97b223e9125cc838e3583c73e96c07e17"})
			services[sid] = object{"node": node, "state": "started", "running": 1, "uid": "Lw3zmWxWQnCHLj6odbUYNA"}
		}
	}
	answer("/version", object{"release": "9.2", "version": "9.2.11", "repoid": "5f3a1c7de9a0b246"})
	all := object{"Sys.Audit": 1, "Sys.Console": 1, "VM.Audit": 1, "VM.Migrate": 1, "VM.PowerMgmt": 1, "Datastore.Audit": 1}
	answer("/access/permissions", object{"/": all, "/nodes": all, "/vms": all, "/storage": all})
	answer("/cluster/status", status)
	answer("/cluster/resources", rows)
	answer("/cluster/ha/resources", resources)
	answer("/cluster/ha/status/manager_status", object{"lrm_status": lrm, "quorum": object{"node": l.node(0), "quorate": "1"},
		"manager_status": object{"master_node": l.node(0), "node_status": nodeStatus, "service_status": services, "timestamp": time.Now().Unix()}})
	answer("/cluster/ha/rules", []object{})
	answer("/cluster/ha/status/current", []object{{"id": "quorum", "node": l.node(0), "quorate": 1, "status": "OK", "type": "quorum"},
		{"id": "fencing", "type": "fencing", "armed-state": "armed", "node": l.node(0), "status": "armed"}})
	answer("/storage", []object{{"storage": "psw", "type": "nfs", "shared": 1, "content": "images,rootdir", "server": "10.10.0.50", "export": "/psw", "path": "/mnt/pve/psw"}})
	answer("/cluster/options", object{"mac_prefix": "BC:24:11"})
	answer("/cluster/tasks", []object{})
	return l
}

func (l *large) node(n int) string { return fmt.Sprintf("node%03d", n) }
func (l *large) name(g int) string { return fmt.Sprintf("guest%05d", g) }
func (l *large) vmid(g int) int    { return 1000 + g }

func (l *large) RoundTrip(r *http.Request) (*http.Response, error) {
	l.calls++
	text, ok := l.answers[r.URL.Path]
	if !ok || r.Method != http.MethodGet {
		return nil, fmt.Errorf("the large cluster has no answer to %s %s", r.Method, r.URL.Path)
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text))}, nil
}

func (l *large) policy() *ha.Policy {
	p := &ha.Policy{Project: "large", Cluster: ha.ClusterPolicy{Name: "large"}}
	for n := range l.nodes {
		p.Cluster.Nodes = append(p.Cluster.Nodes, ha.NodeName(l.node(n)))
	}
	for g := 0; g < l.guests; g += 2 {
		p.Targets = append(p.Targets, ha.Target{Name: l.name(g), Type: ha.TargetVM, Node: ha.NodeName(l.node(g % l.nodes)), HA: true, Memory: 2 * gib, VMID: l.vmid(g)})
	}
	return p
}

// reports are those of all agents, which obey id.
func (l *large) reports(id ha.Identity) []ha.Report {
	reports := make([]ha.Report, l.nodes)
	for n := range reports {
		reports[n] = ha.Report{Node: ha.NodeName(l.node(n)), Generation: id.Generation, Coordinator: id.ID,
			System:   ha.System{CPUs: 64, MemoryTotal: 512 * gib, MemoryAvailable: 448 * gib, PmxcfsMounted: true, PmxcfsWritable: true},
			Corosync: ha.Corosync{Running: true, Quorate: true, Expected: l.nodes, Quorum: l.nodes/2 + 1, Votes: l.nodes},
			HA:       ha.LocalHA{LRMRunning: true, CRMRunning: true},
			Mounts:   []ha.Mount{{Source: "10.10.0.50:/psw", Path: "/mnt/pve/psw", Type: "nfs4", Hard: true, Answering: true}}}
	}
	for g := range l.guests {
		r := &reports[g%l.nodes]
		sid := ha.SID{Kind: ha.VM, ID: l.vmid(g)}
		r.Running = append(r.Running, ha.LocalGuest{SID: sid, PID: 10_000 + g})
		r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: sid, Name: l.name(g), Storages: []string{"psw"}})
	}
	return reports
}

// BenchmarkTick is one pass with a drain held open: the API is read and decoded, every
// report compared with what was seen before, the drain planned. api-calls/op is what
// Proxmox notices of it.
func BenchmarkTick(b *testing.B) {
	for _, size := range []struct{ nodes, guests int }{{3, 6}, {32, 2000}, {100, 10000}} {
		b.Run(fmt.Sprintf("%dx%d", size.nodes, size.guests), func(b *testing.B) { benchmarkTick(b, newLarge(size.nodes, size.guests)) })
	}
}

func benchmarkTick(b *testing.B, l *large) {
	ctx := context.Background()
	st, err := store.Open(filepath.Join(b.TempDir(), "psw.db"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	client, err := pve.New(pve.Config{Endpoints: []string{"https://node000:8006"}, TokenID: "root@pam!ha", TokenSecret: tokenSecret, Transport: l})
	if err != nil {
		b.Fatal(err)
	}
	c, err := coordinator.New(coordinator.DefaultConfig(), st, client, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	reports := l.reports(c.Identity())
	report := func() {
		for _, r := range reports {
			if err := c.Report(ctx, r); err != nil {
				b.Fatal(err)
			}
		}
	}
	report()
	// Guests that cannot be drained hold it open: those outside the project were not named.
	request := ha.MaintenanceRequest{Node: "node001", Policy: l.policy(), Options: ha.MaintenanceOptions{LeavePinned: true, Deadline: time.Now().Add(200 * time.Millisecond)}}
	for g := 1; g < l.guests; g += 2 {
		request.Options.Guests = append(request.Options.Guests, ha.SID{Kind: ha.VM, ID: l.vmid(g)})
	}
	m, err := c.StartMaintenance(ctx, request)
	if err != nil {
		b.Fatal(err)
	}
	for time.Now().Before(m.Options.Deadline) { // then the drain begins nothing, and stays
	}
	tick := func() {
		report()
		if err := c.Tick(ctx); err != nil {
			b.Fatal(err)
		}
	}
	tick() // the first one writes every fact down
	calls := l.calls
	for b.Loop() {
		tick()
	}
	b.ReportMetric(float64(l.calls-calls)/float64(b.N), "api-calls/op")
	if views, err := c.Maintenances(ctx, ""); err != nil || len(views) != 1 || views[0].Maintenance.Phase != ha.Draining {
		b.Fatalf("the drain did not stay: %v, %v", views, err)
	}
}
