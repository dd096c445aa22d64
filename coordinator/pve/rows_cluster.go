package pve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// statusRow is a row of GET /cluster/status: one of type cluster (missing on a node that
// is in none) and one of type node for each member.
type statusRow struct {
	Type    String `json:"type"`
	Name    String `json:"name"`
	NodeID  Int    `json:"nodeid"`
	IP      String `json:"ip"`
	Online  Bool   `json:"online"`
	Local   Bool   `json:"local"`
	Quorate Bool   `json:"quorate"`
}

type clusterStatus []statusRow

// check refuses an answer that names no node: there always is the one that answers.
func (s clusterStatus) check() error {
	if s.source() == "" {
		return errors.New("GET /cluster/status: the answer does not name the node that gave it")
	}
	return nil
}

// source is the node that answered.
func (s clusterStatus) source() ha.NodeName {
	for _, r := range s {
		if r.Type == "node" && r.Local {
			return ha.NodeName(r.Name)
		}
	}
	return ""
}

func (s clusterStatus) quorate() bool { return s.cluster().Quorate }

func (s clusterStatus) cluster() ha.Cluster {
	c := ha.Cluster{Standalone: true}
	for _, r := range s {
		switch r.Type {
		case "cluster":
			c.Standalone = false
			c.Name, c.Quorate = string(r.Name), bool(r.Quorate)
		case "node":
			c.Expected++
			if r.Online {
				c.Votes++
			}
		}
	}
	return c
}

// resourceRow is a row of GET /cluster/resources, of any type. Every number is lenient: a
// container with cpulimit 0.5 and no cores has "maxcpu":0.5.
type resourceRow struct {
	Type     String `json:"type"` // node, qemu, lxc, storage, network, sdn, pool
	ID       String `json:"id"`
	Node     String `json:"node"`
	Status   String `json:"status"`
	VMID     Int    `json:"vmid"`
	Name     String `json:"name"`
	Template Bool   `json:"template"`
	Lock     String `json:"lock"`
	Tags     String `json:"tags"`
	HAState  String `json:"hastate"`
	CPU      Float  `json:"cpu"`
	MaxCPU   Float  `json:"maxcpu"`
	Mem      Int    `json:"mem"`
	MaxMem   Int    `json:"maxmem"`
	Disk     Int    `json:"disk"`
	MaxDisk  Int    `json:"maxdisk"`
	Uptime   Int    `json:"uptime"`
	Storage  String `json:"storage"`
	Plugin   String `json:"plugintype"`
	Shared   Bool   `json:"shared"`
	Content  String `json:"content"`
}

// nodes joins the members of the cluster with their figures. Membership is the status's;
// an offline node has a row but no figures.
func nodes(status clusterStatus, rows []resourceRow) []ha.Node {
	out := make([]ha.Node, 0, len(status))
	for _, r := range status {
		if r.Type == "node" {
			out = append(out, ha.Node{Name: ha.NodeName(r.Name), ID: int(r.NodeID), IP: string(r.IP), Online: bool(r.Online)})
		}
	}
	byName := make(map[ha.NodeName]int, len(out))
	for k, n := range out {
		byName[n.Name] = k
	}
	for _, r := range rows {
		if k, ok := byName[ha.NodeName(r.Node)]; ok && r.Type == "node" && out[k].Online {
			n := &out[k]
			n.CPUs, n.CPULoad = int(r.MaxCPU), float64(r.CPU)
			n.MemoryMax, n.MemoryUsed = int64(r.MaxMem), int64(r.Mem)
			n.Uptime = seconds(r.Uptime)
		}
	}
	slices.SortFunc(out, func(a, b ha.Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// guests makes the guests. A row that cannot be understood is an error: a guest that is
// left out would be forgotten by a drain.
func guests(rows []resourceRow) ([]ha.Guest, error) {
	n := 0
	for _, r := range rows {
		if r.Type == "qemu" || r.Type == "lxc" {
			n++
		}
	}
	out := make([]ha.Guest, 0, n)
	for _, r := range rows {
		var kind ha.GuestKind
		switch r.Type {
		case "qemu":
			kind = ha.VM
		case "lxc":
			kind = ha.CT
		default:
			continue
		}
		id := int(r.VMID)
		if id == 0 {
			_, text, _ := strings.Cut(string(r.ID), "/")
			id, _ = strconv.Atoi(text)
		}
		if id <= 0 || r.Node == "" {
			return nil, fmt.Errorf("guest %q on node %q has no usable number or node", r.ID, r.Node)
		}
		status := ha.GuestStatus(r.Status)
		if status == "" {
			status = ha.GuestUnknown
		}
		out = append(out, ha.Guest{
			SID: ha.SID{Kind: kind, ID: id}, Name: string(r.Name), Node: ha.NodeName(r.Node), Status: status,
			Template: bool(r.Template), Lock: string(r.Lock), CPUs: float64(r.MaxCPU),
			MemoryMax: int64(r.MaxMem), MemoryUsed: int64(r.Mem), DiskMax: int64(r.MaxDisk),
			Uptime: seconds(r.Uptime), Tags: list(r.Tags), HAState: string(r.HAState),
		})
	}
	sortBySID(out, func(g ha.Guest) ha.SID { return g.SID })
	return out, nil
}

// sortBySID sorts by SID as text, computing each text once.
func sortBySID[T any](items []T, sid func(T) ha.SID) {
	type keyed struct {
		key  string
		item T
	}
	list := make([]keyed, len(items))
	for k, item := range items {
		list[k] = keyed{sid(item).String(), item}
	}
	slices.SortStableFunc(list, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	for k := range list {
		items[k] = list[k].item
	}
}

func seconds(n Int) time.Duration {
	const most = 100 * 365 * 24 * 3600 // a bogus uptime must not overflow
	return time.Duration(min(max(n, 0), most)) * time.Second
}

// storageRow is a row of GET /storage: storage.cfg.
type storageRow struct {
	Storage String `json:"storage"`
	Type    String `json:"type"`
	Shared  Bool   `json:"shared"`
	Content String `json:"content"`
	Path    String `json:"path"`
	Server  String `json:"server"`
	Export  String `json:"export"`
	Options String `json:"options"`
	Disable Bool   `json:"disable"`
	Nodes   String `json:"nodes"`
}

// storages joins storage.cfg with each node's state. A storage that only the state knows
// (the configuration could not be read) is listed with what the state says. Nodes that are
// offline have rows too, of status unknown; they are left out.
func storages(configured []storageRow, rows []resourceRow, members []ha.Node) []ha.Storage {
	online := make(map[ha.NodeName]bool, len(members))
	for _, n := range members {
		online[n.Name] = n.Online
	}
	byName := make(map[string]*ha.Storage, len(configured))
	for _, r := range configured {
		s := &ha.Storage{
			Name: string(r.Storage), Type: string(r.Type), Shared: bool(r.Shared), Content: sorted(list(r.Content)),
			Path: string(r.Path), Server: string(r.Server), Export: string(r.Export),
			Options: string(r.Options), Disabled: bool(r.Disable),
		}
		for _, n := range sorted(list(r.Nodes)) {
			s.Nodes = append(s.Nodes, ha.NodeName(n))
		}
		byName[s.Name] = s
	}
	for _, r := range rows {
		if r.Type != "storage" || r.Storage == "" {
			continue
		}
		s := byName[string(r.Storage)]
		if s == nil {
			s = &ha.Storage{Name: string(r.Storage), Type: string(r.Plugin), Content: sorted(list(r.Content))}
			byName[s.Name] = s
		}
		s.Shared = s.Shared || bool(r.Shared)
		if node := ha.NodeName(r.Node); online[node] {
			s.On = append(s.On, ha.StorageOn{Node: node, Available: r.Status == "available", Total: int64(r.MaxDisk), Used: int64(r.Disk)})
		}
	}
	out := make([]ha.Storage, 0, len(byName))
	for _, s := range byName {
		slices.SortFunc(s.On, func(a, b ha.StorageOn) int { return cmp.Compare(a.Node, b.Node) })
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b ha.Storage) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func sorted(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// optionsRow is GET /cluster/options: datacenter.cfg, unset options left out.
type optionsRow struct {
	HA         properties `json:"ha"`
	CRS        properties `json:"crs"`
	Migration  properties `json:"migration"`
	MaxWorkers Int        `json:"max_workers"`
}

// What the HA manager does when datacenter.cfg says nothing (pve-ha-manager 5.2.0).
const (
	shutdownPolicyDefault = "conditional"
	maxWorkersDefault     = 4
	schedulerDefault      = "basic"
)

func (o optionsRow) options() ha.Options {
	out := ha.Options{
		ShutdownPolicy:   cmp.Or(string(o.HA["shutdown_policy"]), shutdownPolicyDefault),
		Scheduler:        cmp.Or(string(o.CRS["ha"]), schedulerDefault),
		MigrationNetwork: string(o.Migration["network"]),
		RebalanceOnStart: o.CRS.on("ha-rebalance-on-start"),
		AutoRebalance:    o.CRS.on("ha-auto-rebalance"),
		MaxWorkers:       maxWorkersDefault,
	}
	if o.MaxWorkers > 0 {
		out.MaxWorkers = int(o.MaxWorkers)
	}
	return out
}

// clusterTaskRow is a row of GET /cluster/tasks. status is the exit text and is missing
// while the task runs.
type clusterTaskRow struct {
	UPID    String `json:"upid"`
	Node    String `json:"node"`
	Type    String `json:"type"`
	ID      String `json:"id"`
	Started Time   `json:"starttime"`
	Ended   Time   `json:"endtime"`
	Status  String `json:"status"`
}

func tasks(rows []clusterTaskRow) []ha.Task {
	out := make([]ha.Task, 0, len(rows))
	for _, r := range rows {
		out = append(out, ha.Task{
			UPID: string(r.UPID), Node: ha.NodeName(r.Node), Type: string(r.Type), ID: string(r.ID),
			Started: r.Started.Time, Ended: r.Ended.Time, Status: ha.WithoutCommandLine(string(r.Status)),
		})
	}
	slices.SortFunc(out, func(a, b ha.Task) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.UPID, b.UPID))
	})
	return out
}
