package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// A lab is told what to break over a socket in its folder, so that an operator can do it
// in another terminal: `psw-lab power-off node2`.

// SocketName is the control socket's name in the lab's folder.
const SocketName = "control.sock"

// Command is one thing a lab can be told.
type Command struct {
	Name, Args, Help string
	do               func(l *Lab, args []string) (string, error)
}

// Commands are what a lab can be told, in the order help lists them.
var Commands = []Command{
	{"power-off", "NODE", "cut a node's power", func(l *Lab, a []string) (string, error) {
		return onNode(l, a, "its power is cut", l.Cluster.PowerOff)
	}},
	{"power-on", "NODE", "switch a node on; it boots for a minute of the cluster's time", func(l *Lab, a []string) (string, error) {
		return onNode(l, a, "it boots", l.Cluster.PowerOn)
	}},
	{"hang-nfs", "[NODE…]", "let the NFS server not answer, on these nodes or on all", func(l *Lab, a []string) (string, error) {
		return onNodes(l, a, "the NFS server does not answer", l.Cluster.HangNFS)
	}},
	{"heal-nfs", "[NODE…]", "let it answer again", func(l *Lab, a []string) (string, error) {
		return onNodes(l, a, "the NFS server answers", l.Cluster.HealNFS)
	}},
	{"mask-storage", "[NODE…]", "let the NFS not be mounted, unnoticed: a plain folder of the same name", func(l *Lab, a []string) (string, error) {
		return onNodes(l, a, "the storage is a folder of its own disk", func(names ...string) { l.Cluster.MaskStorage(storageID, names...) })
	}},
	{"unmask-storage", "[NODE…]", "mount it again", func(l *Lab, a []string) (string, error) {
		return onNodes(l, a, "the storage is mounted", func(names ...string) { l.Cluster.UnmaskStorage(storageID, names...) })
	}},
	{"cut-bmc", "NODE [FROM…]", "make a node's BMC unreachable, from these nodes or from all", onBMC("is out of reach", (*pvesim.Cluster).CutBMC)},
	{"heal-bmc", "NODE [FROM…]", "let it be reached again", onBMC("can be reached", (*pvesim.Cluster).HealBMC)},
	{"partition", "A,B/C", "cut the cluster network between groups of nodes", partition},
	{"heal", "", "join the cluster network again", func(l *Lab, a []string) (string, error) {
		l.Cluster.Heal()
		return "the cluster network is whole", nil
	}},
	{"fail-migration", "SID [N]", "let the next N migrations of a guest fail", failMigration},
	{"crash", "SID [N]", "end a guest's process, and let its next N starts fail; 0 lets it start again", crash},
	{"lose-answers", "N", "do the next N changes asked of the API, but lose the answers", loseAnswers},
	{"kill-agent", "NODE", "end a node's agent; it comes back", killAgent},
	{"cut-link", "LINK NODE…", "cut a corosync link of the nodes: 0 is the first", cutLink},
	{"heal-links", "", "let every corosync link carry packets again", func(l *Lab, _ []string) (string, error) {
		l.Cluster.HealLinks()
		return "every link is whole", nil
	}},
	{"add-node", "NODE", "install one more machine, in no cluster", func(l *Lab, a []string) (string, error) {
		if len(a) != 1 {
			return "", errors.New("want a name: node4")
		}
		if err := l.AddNode(a[0]); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s is installed, in no cluster; declare it in %s under management.hosts, with an address it has, and under cluster.nodes, then run psw node cluster; "+
			"one that is declared before it is installed gets the address that is declared", a[0], filepath.Join(l.Project, "network.yml")), nil
	}},
	{"deploy", "", "create the project's targets that do not exist yet, on the shared storage", deploy},
	{"separate", "NODE", "make a node forget its cluster, as Proxmox's documentation tells to", func(l *Lab, a []string) (string, error) {
		return onNode(l, a, "it is in no cluster", l.Cluster.Separate)
	}},
	{"kill-coordinator", "", "kill -9 the coordinator", func(l *Lab, a []string) (string, error) {
		pid := l.CoordinatorPID()
		return fmt.Sprintf("coordinator (process %d) is killed", pid), l.KillCoordinator()
	}},
	{"truth", "", "what really runs where, whatever the API says", truth},
}

// onBMC does something to the BMC of the first node that is named, as the others see it.
func onBMC(done string, do func(c *pvesim.Cluster, bmc string, from ...string)) func(*Lab, []string) (string, error) {
	return func(l *Lab, args []string) (string, error) {
		if len(args) == 0 {
			return "", errors.New("want the node whose BMC it is: " + strings.Join(l.Cluster.Nodes(), ", "))
		}
		if _, err := onNodes(l, args, "", func(...string) { do(l.Cluster, args[0], args[1:]...) }); err != nil {
			return "", err
		}
		said := fmt.Sprintf("the BMC of %s %s", args[0], done)
		if len(args) > 1 {
			said += " from " + strings.Join(args[1:], ", ")
		}
		return said, nil
	}
}

func onNode(l *Lab, args []string, done string, do func(string)) (string, error) {
	if len(args) != 1 {
		return "", errors.New("want one node: " + strings.Join(l.Cluster.Nodes(), ", "))
	}
	return onNodes(l, args, done, func(names ...string) { do(names[0]) })
}

func onNodes(l *Lab, args []string, done string, do func(...string)) (string, error) {
	for _, n := range args {
		if !slices.Contains(l.Cluster.Nodes(), n) {
			return "", fmt.Errorf("no node %q: there are %s", n, strings.Join(l.Cluster.Nodes(), ", "))
		}
	}
	do(args...)
	return strings.TrimPrefix(strings.Join(args, ", ")+": "+done, ": "), nil
}

func partition(l *Lab, args []string) (string, error) {
	if len(args) != 1 {
		return "", errors.New("want groups of nodes: node1,node2/node3")
	}
	var groups [][]string
	var all []string
	for g := range strings.SplitSeq(args[0], "/") {
		names := strings.Split(g, ",")
		groups = append(groups, names)
		all = append(all, names...)
	}
	slices.Sort(all)
	if !slices.Equal(all, l.Cluster.Nodes()) {
		return "", fmt.Errorf("want each of %s once: node1,node2/node3", strings.Join(l.Cluster.Nodes(), ", "))
	}
	l.Cluster.Partition(groups...)
	return "the cluster network is cut: " + args[0], nil
}

func failMigration(l *Lab, args []string) (string, error) {
	n, err := guestAndCount(l, args, 1)
	if err != nil {
		return "", err
	}
	l.Cluster.FailMigration(args[0], n)
	return fmt.Sprintf("the next %d migrations of %s fail", n, args[0]), nil
}

// crash ends a guest's process. With starts that fail, enough of them, the HA manager tries
// on its node, then on others, and gives it up: state error.
func crash(l *Lab, args []string) (string, error) {
	n, err := guestAndCount(l, args, 0)
	if err != nil {
		return "", err
	}
	l.Cluster.FailStart(args[0], n)
	switch {
	case len(args) == 1:
		l.Cluster.Crash(args[0])
		return args[0] + " has crashed", nil
	case n == 0:
		return args[0] + " can be started again", nil
	}
	l.Cluster.Crash(args[0])
	return fmt.Sprintf("%s has crashed, and its next %d starts fail", args[0], n), nil
}

func guestAndCount(l *Lab, args []string, least int) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("want a guest: vm:101")
	}
	if _, ok := l.Cluster.Guest(args[0]); !ok {
		return 0, fmt.Errorf("no guest %q", args[0])
	}
	return count(args[1:], least)
}

func loseAnswers(l *Lab, args []string) (string, error) {
	n, err := count(args, 1)
	if err != nil {
		return "", err
	}
	l.Cluster.LoseAnswers(n, "")
	return fmt.Sprintf("the answers to the next %d changes are lost", n), nil
}

func killAgent(l *Lab, args []string) (string, error) {
	if len(args) != 1 {
		return "", errors.New("want one node: " + strings.Join(l.Cluster.Nodes(), ", "))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.KillAgent(ctx, args[0]); err != nil {
		return "", err
	}
	return "the agent of " + args[0] + " is killed", nil
}

func cutLink(l *Lab, args []string) (string, error) {
	if len(args) < 2 || args[0] != "0" && args[0] != "1" {
		return "", errors.New("want a link and nodes: 1 node2")
	}
	cut := func(names ...string) { l.Cluster.CutLink(int(args[0][0]-'0'), names...) }
	return onNodes(l, args[1:], "link "+args[0]+" is cut", cut)
}

// count is the number in args, which says how often; without one it is least.
func count(args []string, least int) (int, error) {
	if len(args) == 0 {
		return least, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < least || n > 1000 || len(args) > 1 {
		return 0, fmt.Errorf("%q is no number from %d to 1000", strings.Join(args, " "), least)
	}
	return n, nil
}

func truth(l *Lab, _ []string) (string, error) {
	var b strings.Builder
	for _, n := range l.Cluster.Nodes() {
		state := "up"
		if !l.Cluster.Up(n) {
			state = "down"
		}
		fmt.Fprintf(&b, "%s  %s", n, state)
		for _, p := range l.Cluster.Running(n) {
			g, _ := l.Cluster.Guest(p.SID)
			mark := ""
			if p.Incoming {
				mark = " (arriving)"
			}
			fmt.Fprintf(&b, "  %s %s%s", p.SID, g.Name, mark)
		}
		fmt.Fprintln(&b)
	}
	for _, d := range l.Cluster.DoubleRun() {
		fmt.Fprintf(&b, "RAN TWICE: %s on %s at %s\n", d.SID, strings.Join(d.Nodes, " and "), d.At.Format(time.TimeOnly))
	}
	return strings.TrimRight(b.String(), "\n"), nil
}

type controlRequest struct {
	Name string
	Args []string
}

// control serves the socket until ctx ends.
func (l *Lab) control(ctx context.Context) {
	path := filepath.Join(l.options.Dir, SocketName)
	lis, err := net.Listen("unix", path)
	if err != nil {
		l.options.Notify("cannot listen for commands: %v", err)
		return
	}
	_ = os.Chmod(path, 0o600) // the folder is ours alone already
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		var c controlRequest
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		k := slices.IndexFunc(Commands, func(x Command) bool { return x.Name == c.Name })
		if k < 0 {
			http.Error(w, "no such command: "+c.Name, http.StatusNotFound)
			return
		}
		text, err := Commands[k].do(l, c.Args)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		if c.Name != "truth" {
			l.options.Notify("%s", text)
		}
		fmt.Fprintln(w, text)
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		l.options.Notify("commands are not heard any more: %v", err)
	}
}

// Tell tells the lab of that folder one command and returns its answer.
func Tell(ctx context.Context, dir, name string, args ...string) (string, error) {
	path := filepath.Join(dir, SocketName)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	body, err := json.Marshal(controlRequest{Name: name, Args: args})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://lab/", strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("cannot reach a lab in %s: is `psw-lab` running? (%w)", dir, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	answer := strings.TrimRight(string(text), "\n")
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("cannot %s: %s", name, answer)
	}
	return answer, nil
}
