package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// everyNode is what --fail-nfs means without names.
const everyNode = "all"

// faultFlags are a fault as it is asked for.
type faultFlags struct {
	nodes     []string
	nfs       string
	links     []int
	partition string
}

func (a *app) simulateCommand() *cobra.Command {
	var ask faultFlags
	var file string
	var each bool
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "What would Proxmox do if this failed? Nothing is touched",
		Long: `Tell what Proxmox's HA manager would do after a fault: who loses quorum, whose watchdog
resets it and when, which guest runs again where and when, and which does not. It is
computed here from facts, the coordinator's or a file's; nothing is touched.

Faults may be combined; they come at the same instant. --each plays every single failure
through, one after another: each node, each corosync link, each switch that network.yml
declares, and NFS; and tells what each takes along.

Exit codes: 0 every protected guest runs again and no node is given more memory than it
has, 3 not so.`,
		Example: `  psw ha simulate --fail node2
  psw ha simulate --each
  psw ha simulate --fail-nfs node1 -o json
  psw ha simulate --partition node1/node2,node3 -f facts.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			// --fail-nfs has a meaning alone, so what stands after it reaches us apart.
			if ask.nfs == everyNode && len(args) == 1 {
				ask.nfs, args = args[0], nil
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if each {
				if ask.any() {
					return exit(exitUsage, "--each plays every failure through by itself: leave the others out")
				}
				return a.simulateEach(cmd.Context(), file)
			}
			fault, err := ask.fault()
			if err != nil {
				return err
			}
			return a.simulate(cmd.Context(), fault, file)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&ask.nodes, "fail", nil, "`NODE`,… lose power")
	f.StringVar(&ask.nfs, "fail-nfs", "", "the NFS storages stop answering on `NODE`,…; without names on every node")
	f.Lookup("fail-nfs").NoOptDefVal = everyNode
	f.IntSliceVar(&ask.links, "fail-link", nil, "corosync's link `N` is cut everywhere")
	f.StringVar(&ask.partition, "partition", "", "the cluster network falls apart into these `SIDES`, e.g. node1/node2,node3; a node in none is alone")
	f.BoolVar(&each, "each", false, "every single failure, one after another: what does each take along?")
	f.StringVarP(&file, "file", "f", "", "from `FILE`, which psw ha facts wrote, without a coordinator")
	must(cmd.MarkFlagFilename("file", "json"))
	must(cmd.RegisterFlagCompletionFunc("fail", a.completeNodes))
	return cmd
}

// any reports whether some fault was named.
func (q faultFlags) any() bool {
	return len(q.nodes)+len(q.links) > 0 || q.nfs != "" || q.partition != ""
}

// fault reads the flags. What contradicts itself is refused.
func (q faultFlags) fault() (forecast.Fault, error) {
	fault := forecast.Fault{Links: q.links, NFS: q.nfs == everyNode}
	var err error
	if fault.Nodes, err = nodeList("--fail", q.nodes); err != nil {
		return fault, err
	}
	if q.nfs != "" && q.nfs != everyNode {
		if fault.NFSNodes, err = nodeList("--fail-nfs", strings.Split(q.nfs, ",")); err != nil {
			return fault, err
		}
	}
	var cut []ha.NodeName
	if q.partition != "" {
		for side := range strings.SplitSeq(q.partition, "/") {
			nodes, err := nodeList("--partition", strings.Split(side, ","))
			if err != nil {
				return fault, err
			}
			fault.Partition, cut = append(fault.Partition, nodes), append(cut, nodes...)
		}
	}
	if n, twice := duplicate(cut); twice {
		return fault, exit(exitUsage, "--partition puts %s on two sides: a node is on one", n)
	}
	if l, twice := duplicate(q.links); twice {
		return fault, exit(exitUsage, "--fail-link names link %d twice", l)
	}
	if len(fault.Nodes)+len(fault.NFSNodes)+len(fault.Links)+len(fault.Partition) == 0 && !fault.NFS {
		return fault, exit(exitUsage, "nothing fails: say what does with --fail NODE, --fail-nfs, --fail-link N or --partition A,B/C; or each in turn with --each")
	}
	return fault, nil
}

// nodeList reads the names that a flag holds; none may be empty or there twice.
func nodeList(flag string, names []string) ([]ha.NodeName, error) {
	var nodes []ha.NodeName
	for _, n := range names {
		n = strings.TrimSpace(n)
		if n == "" {
			return nil, exit(exitUsage, "%s has an empty name in it", flag)
		}
		nodes = append(nodes, ha.NodeName(n))
	}
	if n, twice := duplicate(nodes); twice {
		return nil, exit(exitUsage, "%s names %s twice", flag, n)
	}
	return nodes, nil
}

func duplicate[T comparable](list []T) (T, bool) {
	for k, v := range list {
		if slices.Contains(list[:k], v) {
			return v, true
		}
	}
	var zero T
	return zero, false
}

// checkFault refuses a fault that cannot happen to this cluster.
func checkFault(fault forecast.Fault, s ha.Snapshot) error {
	for _, n := range slices.Concat(append([][]ha.NodeName{fault.Nodes, fault.NFSNodes}, fault.Partition...)...) {
		if _, known := s.Inventory.Node(n); !known {
			return exit(exitUsage, "there is no node %q in this cluster; its nodes are %s", n, nodeNames(s))
		}
	}
	for _, n := range fault.Nodes {
		if node, _ := s.Inventory.Node(n); !node.Online {
			return exit(exitUsage, "%s is offline already: its failure changes nothing any more", n)
		}
	}
	if len(fault.Partition) == 1 && len(fault.Partition[0]) == len(s.Inventory.Nodes) {
		return exit(exitUsage, "--partition leaves every node on one side: part them with a slash, e.g. A,B/C")
	}
	for _, l := range fault.Links {
		if !slices.ContainsFunc(s.Reports, func(r ha.Report) bool {
			return slices.ContainsFunc(r.Corosync.Links, func(k ha.Link) bool { return k.Number == l })
		}) {
			return exit(exitUsage, "no agent reports a corosync link %d", l)
		}
	}
	return fault.Check(s)
}

func nodeNames(s ha.Snapshot) string {
	var names []string
	for _, n := range s.Inventory.Nodes {
		names = append(names, string(n.Name))
	}
	return strings.Join(names, ", ")
}

// simulateDocument is the answer of `ha simulate -o json`.
type simulateDocument struct {
	// At is the instant of the facts.
	At      time.Time `json:"at"`
	Project string    `json:"project,omitempty"`
	Cluster string    `json:"cluster"`
	// Survives: every protected guest runs again and no node is given more than it has.
	Survives bool `json:"survives"`
	// Lost are the protected guests that do not run again.
	Lost []ha.SID `json:"lost"`
	forecast.Prediction
}

func newSimulateDocument(s ha.Snapshot, p forecast.Prediction) simulateDocument {
	p.Targets, p.TimeLine, p.Assumptions = full(p.Targets), full(p.TimeLine), full(p.Assumptions)
	d := simulateDocument{At: s.At, Project: s.Policy.Project, Cluster: s.Inventory.Cluster.Name, Lost: []ha.SID{}, Prediction: p}
	for _, o := range p.Targets {
		if protected(s, o.SID) && o.Fate != forecast.Restarted && o.Fate != forecast.Moved {
			d.Lost = append(d.Lost, o.SID)
		}
	}
	d.Survives = len(d.Lost) == 0 && len(p.Overcommits) == 0
	return d
}

// protected reports whether somebody counts on HA for a guest: it is a resource that
// should run, or the project declares it so though nobody has registered it yet.
func protected(s ha.Snapshot, sid ha.SID) bool {
	if r, managed := s.Inventory.Resource(sid); managed {
		return r.State != ha.RequestStopped && r.State != ha.RequestDisabled && r.State != ha.RequestIgnored
	}
	g, known := s.Inventory.Guest(sid)
	t, declared := s.TargetOf(g)
	return known && declared && t.HA
}

func (a *app) simulate(ctx context.Context, fault forecast.Fault, file string) error {
	s, err := a.facts(ctx, file)
	if err != nil {
		return err
	}
	if err := checkFault(fault, s); err != nil {
		return err
	}
	d := newSimulateDocument(s, forecast.Forecast(s, fault))
	if a.json() {
		err = a.document(d)
	} else {
		a.print(simulateLines(a.style, d, a.flags.quiet)...)
	}
	if err == nil && !d.Survives {
		return &outcome{code: exitRefused}
	}
	return err
}
