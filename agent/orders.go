package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// outcomesMax is how many outcomes are remembered for orders that come twice. A
	// coordinator repeats an order for minutes, not for hundreds of orders.
	outcomesMax = 256
	// deedMax is how long a command may take. ha-manager waits up to 10 s for a lock of
	// the cluster file system and was seen to take as long on a busy node.
	deedMax = time.Minute
	// fileSizeMax bounds what is read of a file of pmxcfs, which holds none that is larger.
	fileSizeMax = 1 << 20
	// outputMax is how much of a command's output goes into an answer.
	outputMax = 4 << 10
)

// Obey carries out one order, or refuses it, and says which. An order that comes twice is
// answered with its first outcome. That memory does not outlive the process, so every deed
// must be one that may be done twice: switching maintenance mode is, and pvecm refuses
// what is so already.
//
// Orders that only look (ha.LooksOnly) may be carried out beside others. It ends with the
// deed, not with ctx: a command that was begun is not cut off half way because the agent
// is told to stop.
func (a *Agent) Obey(ctx context.Context, o ha.Order) ha.OrderResult {
	if r, known := a.outcome(o.ID); known {
		return r
	}
	if !ha.LooksOnly(o.Deed) {
		ctx = context.WithoutCancel(ctx)
	}
	r := a.carryOut(ctx, o)
	r.ID, r.Node = o.ID, a.config.Node
	switch {
	case r.Refused != "":
		a.log.Warn("order refused", "order", o.ID, "coordinator", o.Coordinator, "generation", o.Generation, "deed", o.Deed, "reason", r.Refused)
	case r.Failed != "":
		a.log.Error("order failed", "order", o.ID, "deed", o.Deed, "reason", r.Failed, "output", r.Output)
	default:
		a.log.Info("order carried out", "order", o.ID, "deed", o.Deed)
	}
	a.remembering.Lock()
	defer a.remembering.Unlock()
	a.outcomes = append(a.outcomes, r)
	if len(a.outcomes) > outcomesMax {
		a.outcomes = slices.Delete(a.outcomes, 0, 1)
	}
	return r
}

// outcome is what became of the order of that ID, if it came before.
func (a *Agent) outcome(id string) (ha.OrderResult, bool) {
	a.remembering.Lock()
	defer a.remembering.Unlock()
	k := slices.IndexFunc(a.outcomes, func(r ha.OrderResult) bool { return r.ID == id })
	if k < 0 {
		return ha.OrderResult{}, false
	}
	return a.outcomes[k], true
}

// carryOut is the allow-list: what is not named here is not done.
func (a *Agent) carryOut(ctx context.Context, o ha.Order) ha.OrderResult {
	expires := time.Now().Add(o.TTL) // the monotonic clock: setting the time changes nothing
	if o.ID == "" {
		return refused("the order has no ID")
	}
	if o.TTL <= 0 {
		return refused("the order has expired")
	}
	do := a.deed(ctx, o.Deed, expires)
	if do == nil {
		return refused("this agent does not know what is ordered: update it")
	}
	if err := a.lineage.admit(accepted{Generation: o.Generation, Coordinator: o.Coordinator}); err != nil {
		return refused("%v", err)
	}
	return do()
}

// deed is how a deed is carried out; nil if this agent does not know it.
func (a *Agent) deed(ctx context.Context, deed ha.OrderDeed, expires time.Time) func() ha.OrderResult {
	switch deed := deed.(type) {
	case ha.SetNodeMaintenance:
		return func() ha.OrderResult { return a.setNodeMaintenance(ctx, deed, expires) }
	case ha.ProveStorage:
		return func() ha.OrderResult { return a.proveStorage(ctx, deed) }
	case ha.PowerStatus:
		return func() ha.OrderResult { return a.powerStatus(ctx, deed) }
	case ha.CutPower:
		return func() ha.OrderResult { return a.cutPower(ctx, deed, expires) }
	case ha.CreateCluster:
		return func() ha.OrderResult { return a.createCluster(ctx, deed) }
	case ha.AuthorizeJoin:
		return func() ha.OrderResult { return a.authorizeJoin(ctx, deed) }
	case ha.JoinCluster:
		return func() ha.OrderResult { return a.joinCluster(ctx, deed) }
	case ha.RevokeJoin:
		return func() ha.OrderResult { return a.revokeJoin(ctx, deed) }
	case ha.SetupQDevice:
		return func() ha.OrderResult { return a.setupQDevice(ctx, deed) }
	case ha.RemoveQDevice:
		return func() ha.OrderResult { return a.pvecm(ctx, qdeviceMax, deed.String(), "qdevice", "remove") }
	case ha.RemoveClusterNode:
		return func() ha.OrderResult { return a.removeClusterNode(ctx, deed) }
	default:
		return nil
	}
}

func refused(format string, args ...any) ha.OrderResult {
	return ha.OrderResult{Refused: fmt.Sprintf(format, args...)}
}

// setNodeMaintenance asks the HA manager to switch a node's maintenance mode. Any node may
// ask for any other. The command only leaves a note for the CRM: that it worked is to be
// seen in manager_status, by whoever ordered it (pve-ha-manager 5.2.0).
func (a *Agent) setNodeMaintenance(ctx context.Context, deed ha.SetNodeMaintenance, expires time.Time) ha.OrderResult {
	if !probe.NodeName.Matches(string(deed.Node)) {
		return refused("%q is no name of a node", deed.Node)
	}
	members, err := a.members(ctx)
	if err != nil {
		return refused("it cannot be seen whether %s is a member of the cluster: %v", deed.Node, err)
	}
	if !slices.Contains(members, string(deed.Node)) {
		return refused("%s is no member of the cluster: its members are %s", deed.Node, strings.Join(members, ", "))
	}
	if time.Now().After(expires) {
		return refused("the order expired while the list of members was read")
	}
	verb := "disable"
	if deed.On {
		verb = "enable"
	}
	ctx, cancel := context.WithTimeout(ctx, deedMax)
	defer cancel()
	out, err := a.host.Run(ctx, "ha-manager", "crm-command", "node-maintenance", verb, string(deed.Node))
	r := ha.OrderResult{Output: cut(out)}
	if err != nil {
		r.Failed = fmt.Sprintf("cannot %s maintenance mode of %s: %v", verb, deed.Node, err)
	}
	return r
}

func cut(out []byte) string {
	return strings.ToValidUTF8(string(out[:min(len(out), outputMax)]), "")
}

// members reads the names of the cluster's members as pmxcfs knows them, sorted.
func (a *Agent) members(ctx context.Context) ([]string, error) {
	return onPmxcfs(ctx, a, readMax, "/etc/pve/.members", a.readMembers)
}

func (a *Agent) readMembers() ([]string, error) {
	data, err := a.readFile("etc/pve/.members")
	if err != nil {
		return nil, err
	}
	// A node in no cluster has a nodename and no nodelist.
	var list struct {
		Node  string         `json:"nodename"`
		Nodes map[string]any `json:"nodelist"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("/etc/pve/.members: %w", err)
	}
	if len(list.Nodes) == 0 && list.Node != "" {
		return []string{list.Node}, nil
	}
	names := make([]string, 0, len(list.Nodes))
	for name := range list.Nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// readFile reads a file below /etc/pve. It may hang: see onPmxcfs.
func (a *Agent) readFile(name string) ([]byte, error) {
	f, err := a.host.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileSizeMax+1))
	if err == nil && len(data) > fileSizeMax {
		return nil, fmt.Errorf("it has more than %d bytes", fileSizeMax)
	}
	return data, err
}
