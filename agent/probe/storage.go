package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookStorage reads which storages there are and what of them this node has. It asks files
// and not pvesm, which asks every storage one after the other and hangs on the first dead one.
func lookStorage(_ context.Context, r *round) (facts, error) {
	if err := needPmxcfs(r.host); err != nil {
		return nil, err
	}
	var missing faults
	data, err := optional(r.host, storageConf)
	missing.add(storageConf, bare(err))
	storages := parseStorageConf(string(data))
	info, err := read(r.host, "proc/self/mountinfo")
	missing.add("proc/self/mountinfo", bare(err))
	mounted, err := parseMountTable(string(info))
	missing.add("proc/self/mountinfo", err)
	for k, s := range storages {
		if m, ok := mounted[s.Path]; ok && s.Path != "" {
			storages[k].Mounted, storages[k].MountedType = m.Source, m.Type
		}
	}
	replications, err := readReplications(r.host, r.node)
	missing.add("replication", err)
	return func(report *ha.Report) { report.Storages, report.Replications = storages, replications }, missing.err()
}

// parseMountTable returns, by path, what /proc/self/mountinfo says is mounted there last.
func parseMountTable(data string) (map[string]ha.Mount, error) {
	table := map[string]ha.Mount{}
	for line := range strings.Lines(data) {
		m, _, err := parseMount(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		table[m.Path] = m
	}
	return table, nil
}

// readReplications reads the jobs of the guests whose configuration lies on a node, and how
// their last runs went.
func readReplications(h Host, node ha.NodeName) ([]ha.Replication, error) {
	data, err := optional(h, "etc/pve/replication.cfg")
	if err != nil || len(data) == 0 {
		return nil, bare(err)
	}
	local := map[int]ha.SID{}
	for _, kind := range []ha.GuestKind{ha.VM, ha.CT} {
		ids, err := guestsOn(h, node, kind)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			local[id] = ha.SID{Kind: kind, ID: id}
		}
	}
	var list []ha.Replication
	for _, job := range parseReplications(string(data)) {
		guest, _, _ := strings.Cut(job.ID, "-")
		id, err := strconv.Atoi(guest)
		if sid, here := local[id]; err == nil && here {
			job.SID = sid
			list = append(list, job)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	state, err := optional(h, "var/lib/pve-manager/pve-replication-state.json")
	if err == nil && state != nil {
		err = readReplicationState(state, list)
	}
	if err != nil {
		err = fmt.Errorf("pve-replication-state.json: %w", bare(err))
	}
	return list, err
}

// guestsOn lists the guests of a kind whose configuration lies on a node.
func guestsOn(h Host, node ha.NodeName, kind ha.GuestKind) ([]int, error) {
	dir := map[ha.GuestKind]string{ha.VM: "qemu-server", ha.CT: "lxc"}[kind]
	entries, err := fs.ReadDir(h, "etc/pve/nodes/"+string(node)+"/"+dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, bare(err)
	}
	var ids []int
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".conf")
		if id, err := strconv.Atoi(name); ok && err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// parseReplications reads replication.cfg: sections "local: GUEST-NUMBER".
func parseReplications(text string) []ha.Replication {
	var list []ha.Replication
	for _, s := range parseSections(text) {
		list = append(list, ha.Replication{
			ID: s.name, Target: ha.NodeName(s.settings["target"]), Schedule: s.settings["schedule"],
			Disabled: s.settings["disable"] == "1",
		})
	}
	return list
}

// readReplicationState fills in how the last runs went: by guest and by target, which is
// named local/NODE.
func readReplicationState(data []byte, list []ha.Replication) error {
	var guests map[string]map[string]struct {
		LastSync number `json:"last_sync"`
		Failures number `json:"fail_count"`
		Error    string `json:"error"`
	}
	if err := json.Unmarshal(data, &guests); err != nil {
		return err
	}
	for k := range list {
		job := &list[k]
		guest, _, _ := strings.Cut(job.ID, "-")
		state, ok := guests[guest]["local/"+string(job.Target)]
		if !ok {
			continue
		}
		job.Failures, job.Error = int(state.Failures), firstLine(state.Error)
		job.LastSync = time.Time{}
		if state.LastSync > 0 {
			job.LastSync = state.LastSync.time()
		}
	}
	return nil
}

// firstLine is a text's first line, cut to what fits a report.
func firstLine(text string) string {
	const most = 200
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), most)]
}
