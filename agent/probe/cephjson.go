package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// parseCephStatus reads "ceph status" and returns the number of the map of the OSDs.
func parseCephStatus(data []byte, c *ha.LocalCeph) (epoch int64, err error) {
	var s struct {
		Health struct {
			Status string                     `json:"status"`
			Checks map[string]json.RawMessage `json:"checks"`
		} `json:"health"`
		QuorumNames []string `json:"quorum_names"`
		MonMap      struct {
			Monitors int `json:"num_mons"`
		} `json:"monmap"`
		OSDMap struct {
			Epoch int64 `json:"epoch"`
		} `json:"osdmap"`
		PGMap struct {
			Degraded  int64   `json:"degraded_objects"`
			Misplaced int64   `json:"misplaced_objects"`
			Recovery  float64 `json:"recovering_bytes_per_sec"`
			Total     int64   `json:"bytes_total"`
			Used      int64   `json:"bytes_used"`
		} `json:"pgmap"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return 0, fmt.Errorf("ceph status: %w", err)
	}
	if !strings.HasPrefix(s.Health.Status, "HEALTH_") {
		return 0, errors.New("ceph status: its answer is incomplete")
	}
	c.Health = s.Health.Status
	for code := range s.Health.Checks {
		c.Checks = append(c.Checks, code)
	}
	slices.Sort(c.Checks)
	c.Monitors, c.MonitorsQuorate = s.MonMap.Monitors, len(s.QuorumNames)
	c.Degraded, c.Misplaced = s.PGMap.Degraded, s.PGMap.Misplaced
	if rate := s.PGMap.Recovery; rate > 0 && rate < math.MaxInt64/2 {
		c.Recovery = int64(rate)
	}
	c.Total, c.Used = s.PGMap.Total, s.PGMap.Used
	return s.OSDMap.Epoch, nil
}

// cephFlags are the flags of the map that stop Ceph from repairing itself, or from working.
var cephFlags = []string{"noout", "noup", "nodown", "noin", "nobackfill", "norebalance", "norecover", "noscrub", "nodeep-scrub", "pauserd", "pausewr", "full"}

// parseCephDump reads pools and flags from "ceph osd dump".
func parseCephDump(data []byte, layout *cephCache) error {
	const erasure = 3 // a pool's type; 1 is replicated
	var dump struct {
		Flags   string `json:"flags"`
		Stretch struct {
			Enabled bool `json:"stretch_mode_enabled"`
		} `json:"stretch_mode"`
		Pools []struct {
			Name    string `json:"pool_name"`
			Type    int    `json:"type"`
			Size    int    `json:"size"`
			MinSize int    `json:"min_size"`
			Rule    int    `json:"crush_rule"`
		} `json:"pools"`
		OSDs []json.RawMessage `json:"osds"`
	}
	if err := json.Unmarshal(data, &dump); err != nil {
		return fmt.Errorf("ceph osd dump: %w", err)
	}
	if dump.Pools == nil || dump.OSDs == nil {
		return errors.New("ceph osd dump: its answer is incomplete")
	}
	for _, p := range dump.Pools {
		if p.Name == "" || p.Size <= 0 || p.MinSize <= 0 {
			return fmt.Errorf("ceph osd dump: not a pool: %.40q of size %d/%d", p.Name, p.Size, p.MinSize)
		}
		layout.pools = append(layout.pools, ha.CephPool{Name: p.Name, Size: p.Size, MinSize: p.MinSize, Erasure: p.Type == erasure, Rule: p.Rule})
	}
	for flag := range strings.SplitSeq(dump.Flags, ",") {
		if slices.Contains(cephFlags, flag) {
			layout.flags = append(layout.flags, flag)
		}
	}
	layout.stretch = dump.Stretch.Enabled
	return nil
}

// parseCephTree reads "ceph osd df tree": hosts with their OSDs as children.
func parseCephTree(data []byte) ([]ha.CephHost, error) {
	type item struct {
		ID          int     `json:"id"`
		Name        string  `json:"name"`
		Type        string  `json:"type"`
		Children    []int   `json:"children"`
		Status      string  `json:"status"`
		Reweight    float64 `json:"reweight"`
		Utilization float64 `json:"utilization"`
	}
	var tree struct {
		Nodes []item `json:"nodes"`
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("ceph osd df tree: %w", err)
	}
	if tree.Nodes == nil {
		return nil, errors.New("ceph osd df tree: its answer is incomplete")
	}
	items := map[int]item{}
	for _, n := range tree.Nodes {
		items[n.ID] = n
	}
	var hosts []ha.CephHost
	seen := map[string]bool{}
	for _, n := range tree.Nodes {
		if n.Type != "host" || seen[n.Name] { // a host is in the tree of each class of device
			continue
		}
		seen[n.Name] = true
		h := ha.CephHost{Name: ha.NodeName(n.Name)}
		for _, id := range n.Children {
			osd, ok := items[id]
			if !ok || osd.Type != "osd" {
				continue
			}
			h.OSDs++
			if osd.Status == "up" {
				h.Up++
			}
			if osd.Reweight > 0 {
				h.In++
			}
			if fill := osd.Utilization / 100; fill > h.FillMax && fill <= 1 {
				h.FillMax = fill
			}
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}
