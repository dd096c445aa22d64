package pve

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// haResourceRow is a row of GET /cluster/ha/resources, which leaves out whatever has its
// default.
type haResourceRow struct {
	SID         String  `json:"sid"`
	State       *String `json:"state"`
	MaxRestart  *Int    `json:"max_restart"`
	MaxRelocate *Int    `json:"max_relocate"`
	Failback    *Bool   `json:"failback"`
	Group       String  `json:"group"`
	Comment     String  `json:"comment"`
	Digest      String  `json:"digest"`
}

// resource fills in Proxmox's defaults: started, one restart, one relocation, failback on
// (pve-ha-manager 5.2.0). "enabled" is an alias of started.
func (r haResourceRow) resource() (ha.Resource, error) {
	sid, err := ha.ParseSID(string(r.SID))
	if err != nil {
		return ha.Resource{}, err
	}
	out := ha.Resource{
		SID: sid, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true,
		Group: string(r.Group), Comment: string(r.Comment), Digest: string(r.Digest),
	}
	if r.State != nil && *r.State != "" && *r.State != "enabled" {
		out.State = ha.RequestState(*r.State)
	}
	if r.MaxRestart != nil {
		out.MaxRestart = int(*r.MaxRestart)
	}
	if r.MaxRelocate != nil {
		out.MaxRelocate = int(*r.MaxRelocate)
	}
	if r.Failback != nil {
		out.Failback = bool(*r.Failback)
	}
	return out, nil
}

// haResources makes the resources. In PVE 8 failback is a property of the group.
func haResources(rows []haResourceRow, groups []groupRow) ([]ha.Resource, error) {
	noFailback := map[string]bool{}
	for _, g := range groups {
		noFailback[string(g.Group)] = bool(g.NoFailback)
	}
	out := make([]ha.Resource, 0, len(rows))
	for _, row := range rows {
		r, err := row.resource()
		if err != nil {
			return nil, err
		}
		if row.Failback == nil && noFailback[r.Group] {
			r.Failback = false
		}
		out = append(out, r)
	}
	sortBySID(out, func(r ha.Resource) ha.SID { return r.SID })
	return out, nil
}

// groupRow is a row of GET /cluster/ha/groups (PVE 8).
type groupRow struct {
	Group      String `json:"group"`
	Nodes      String `json:"nodes"`
	Restricted Bool   `json:"restricted"`
	NoFailback Bool   `json:"nofailback"`
	Comment    String `json:"comment"`
	Digest     String `json:"digest"`
}

func (g groupRow) group() ha.Group {
	return ha.Group{
		Name: string(g.Group), Nodes: ruleNodes(g.Nodes), Restricted: bool(g.Restricted), NoFailback: bool(g.NoFailback),
		Comment: string(g.Comment), Digest: string(g.Digest),
	}
}

func haGroups(rows []groupRow) []ha.Group {
	var out []ha.Group
	for _, g := range rows {
		out = append(out, g.group())
	}
	slices.SortFunc(out, func(a, b ha.Group) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// groupRules reads groups as the rules PVE 9 would turn them into: one per group that has
// resources, named ha-group-GROUP, strict if the group is restricted. An unused group
// binds nothing and vanishes.
func groupRules(groups []groupRow, resources []ha.Resource) []ha.Rule {
	members := map[string][]ha.SID{}
	for _, r := range resources {
		if r.Group != "" {
			members[r.Group] = append(members[r.Group], r.SID)
		}
	}
	var out []ha.Rule
	for _, g := range groups {
		sids := members[string(g.Group)]
		if len(sids) == 0 {
			continue
		}
		out = append(out, ha.Rule{
			ID: "ha-group-" + string(g.Group), Type: ha.NodeAffinity, Resources: sids,
			Nodes: ruleNodes(g.Nodes), Strict: bool(g.Restricted), Comment: string(g.Comment), Digest: string(g.Digest),
		})
	}
	slices.SortFunc(out, func(a, b ha.Rule) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// ruleRow is a row of GET /cluster/ha/rules. strict may be 0 where it was set so; disable
// is there only for a disabled rule.
type ruleRow struct {
	Rule      String          `json:"rule"`
	Type      String          `json:"type"`
	Resources String          `json:"resources"`
	Nodes     String          `json:"nodes"`
	Strict    Bool            `json:"strict"`
	Affinity  String          `json:"affinity"`
	Disable   *String         `json:"disable"`
	Comment   String          `json:"comment"`
	Digest    String          `json:"digest"`
	Errors    json.RawMessage `json:"errors"`
}

func (r ruleRow) rule() ha.Rule {
	out := ha.Rule{
		ID: string(r.Rule), Type: ha.RuleType(r.Type), Nodes: ruleNodes(r.Nodes), Strict: bool(r.Strict),
		Affinity: ha.Affinity(r.Affinity), Comment: string(r.Comment), Digest: string(r.Digest), Errors: ruleErrors(r.Errors),
		// The HA manager asks whether the property exists, not what it says: "disable 0" in
		// rules.cfg disables, too.
		Disabled: r.Disable != nil,
	}
	for _, s := range list(r.Resources) {
		sid, err := ha.ParseSID(s)
		if err != nil {
			out.Errors = append(out.Errors, "resources: "+err.Error())
			continue
		}
		out.Resources = append(out.Resources, sid)
	}
	sortBySID(out.Resources, func(s ha.SID) ha.SID { return s })
	return out
}

func haRules(rows []ruleRow) []ha.Rule {
	out := make([]ha.Rule, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.rule())
	}
	slices.SortFunc(out, func(a, b ha.Rule) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// ruleNodes reads n1:2,n2.
func ruleNodes(s String) []ha.RuleNode {
	var out []ha.RuleNode
	for _, part := range list(s) {
		name, text, _ := strings.Cut(part, ":")
		priority, err := strconv.Atoi(text)
		if err != nil {
			priority = 0
		}
		out = append(out, ha.RuleNode{Node: ha.NodeName(name), Priority: priority})
	}
	slices.SortFunc(out, func(a, b ha.RuleNode) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// ruleErrors reads {"resources":["why", …]}: why the HA manager ignores the rule. What it
// cannot read still counts as an error: a rule with errors does not bind.
func ruleErrors(raw json.RawMessage) []string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var byProperty map[string]json.RawMessage
	if json.Unmarshal(raw, &byProperty) != nil {
		return []string{excerpt(raw)}
	}
	var out []string
	for _, property := range slices.Sorted(maps.Keys(byProperty)) {
		var texts []String
		if json.Unmarshal(byProperty[property], &texts) != nil {
			var one String
			if one.UnmarshalJSON(byProperty[property]) != nil {
				one = String(excerpt(byProperty[property]))
			}
			texts = []String{one}
		}
		for _, t := range texts {
			out = append(out, property+": "+string(t))
		}
	}
	return out
}

// managerStatus is GET /cluster/ha/status/manager_status: the only view of the latch, of
// what moves where, and of the LRMs' state and mode.
type managerStatus struct {
	Manager struct {
		Master   String                  `json:"master_node"`
		At       Time                    `json:"timestamp"`
		Nodes    map[string]String       `json:"node_status"`
		Requests map[string]nodeRequest  `json:"node_request"`
		Services map[string]serviceState `json:"service_status"`
		Disarm   *struct {
			Mode  String `json:"mode"`
			State String `json:"state"`
		} `json:"disarm"`
	} `json:"manager_status"`
	Quorum *struct {
		Node    String `json:"node"`
		Quorate Bool   `json:"quorate"` // "1", or "" without quorum
	} `json:"quorum"`
	LRM map[string]lrmState `json:"lrm_status"`
}

// nodeRequest stays as {} after maintenance was switched off.
type nodeRequest struct {
	Maintenance Bool `json:"maintenance"`
}

type serviceState struct {
	Node            String   `json:"node"`
	State           String   `json:"state"`
	Target          String   `json:"target"`
	Running         Bool     `json:"running"`
	MaintenanceNode String   `json:"maintenance_node"`
	FailedNodes     []String `json:"failed_nodes"`
	Command         []String `json:"cmd"`
}

type lrmState struct {
	State String `json:"state"`
	Mode  String `json:"mode"`
	At    Time   `json:"timestamp"`
}

// check refuses an answer without the quorum entry, which is in every real one.
func (m managerStatus) check() error {
	if m.Quorum == nil {
		return errors.New("GET /cluster/ha/status/manager_status: the answer says nothing of quorum")
	}
	for _, sid := range slices.Sorted(maps.Keys(m.Manager.Services)) {
		if _, err := ha.ParseSID(sid); err != nil {
			return fmt.Errorf("GET /cluster/ha/status/manager_status: %w", err)
		}
	}
	return nil
}

func (m managerStatus) status() ha.HAStatus {
	out := ha.HAStatus{
		Master: ha.NodeName(m.Manager.Master), MasterAt: m.Manager.At.Time,
		Quorate: m.Quorum != nil && bool(m.Quorum.Quorate),
		Nodes:   m.nodes(), Services: m.services(),
	}
	if d := m.Manager.Disarm; d != nil {
		out.Armed, out.DisarmMode = string(d.State), string(d.Mode)
	}
	return out
}

// nodes lists every node any part of the status knows.
func (m managerStatus) nodes() []ha.HANode {
	names := map[string]bool{}
	for n := range m.Manager.Nodes {
		names[n] = true
	}
	for n := range m.Manager.Requests {
		names[n] = true
	}
	for n := range m.LRM {
		names[n] = true
	}
	out := make([]ha.HANode, 0, len(names))
	for _, n := range slices.Sorted(maps.Keys(names)) {
		lrm := m.LRM[n]
		out = append(out, ha.HANode{
			Name: ha.NodeName(n), State: string(m.Manager.Nodes[n]),
			MaintenanceRequested: bool(m.Manager.Requests[n].Maintenance),
			LRMState:             string(lrm.State), LRMMode: string(lrm.Mode), LRMAt: lrm.At.Time,
		})
	}
	return out
}

func (m managerStatus) services() []ha.HAService {
	out := make([]ha.HAService, 0, len(m.Manager.Services))
	for name, s := range m.Manager.Services {
		sid, err := ha.ParseSID(name)
		if err != nil {
			continue // check has refused the whole answer before
		}
		svc := ha.HAService{
			SID: sid, Node: ha.NodeName(s.Node), State: string(s.State), Target: ha.NodeName(s.Target),
			Running: bool(s.Running), MaintenanceNode: ha.NodeName(s.MaintenanceNode), Command: words(s.Command),
		}
		for _, n := range s.FailedNodes {
			svc.FailedNodes = append(svc.FailedNodes, ha.NodeName(n))
		}
		out = append(out, svc)
	}
	sortBySID(out, func(s ha.HAService) ha.SID { return s.SID })
	return out
}

func words(list []String) string {
	parts := make([]string, len(list))
	for k, w := range list {
		parts[k] = string(w)
	}
	return strings.Join(parts, " ")
}

// currentRow is a row of GET /cluster/ha/status/current. Only the fencing row is used:
// everything else is fresher in manager_status (series2 recordings, surprise 5).
type currentRow struct {
	Type  String `json:"type"`
	Armed String `json:"armed-state"`
	Mode  String `json:"resource_mode"`
}

// armed takes over the fencing row; before pve-ha-manager 5.1.3 there is none.
func armed(rows []currentRow, into *ha.HAStatus) {
	for _, r := range rows {
		if r.Type == "fencing" {
			into.Armed, into.DisarmMode = string(r.Armed), string(r.Mode)
		}
	}
}
