package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// A machine is a host of files, on which ha-manager only notes what it was told.
type machine struct {
	fstest.MapFS
	mu sync.Mutex
	// ran are the command lines, in order.
	ran []string
	// complaint is what commands fail with, if set.
	complaint error
	// hung, if set, blocks whoever opens the list of members until it is closed.
	hung chan struct{}
}

const members = `{"nodename": "node1", "version": 3,
"cluster": { "name": "home", "version": 3, "nodes": 3, "quorate": 1 },
"nodelist": {
  "node1": { "id": 1, "online": 1, "ip": "10.10.0.1"},
  "node2": { "id": 2, "online": 1, "ip": "10.10.0.2"},
  "node3": { "id": 3, "online": 0}
  }
}`

func newMachine() *machine {
	return &machine{MapFS: fstest.MapFS{"etc/pve/.members": {Data: []byte(members)}}}
}

func (m *machine) Open(name string) (fs.File, error) {
	if m.hung != nil && name == "etc/pve/.members" {
		<-m.hung
	}
	return m.MapFS.Open(name)
}

func (m *machine) Statfs(context.Context, string) (total, free uint64, err error) {
	return 0, 0, syscall.ENOENT
}

func (m *machine) TryWrite(context.Context, string) error { return syscall.ENOENT }

func (m *machine) Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error) {
	return 0, 0, 0, true, nil
}

func (m *machine) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if name != "ha-manager" {
		return nil, fs.ErrNotExist
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.ran = append(m.ran, strings.Join(append([]string{name}, args...), " "))
	return []byte("queued\n"), m.complaint
}

func (m *machine) commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.ran...)
}

// newAgent is the agent of node1 with a state folder of its own.
func newAgent(t *testing.T, m *machine, stateDir string) *Agent {
	t.Helper()
	c := DefaultConfig()
	c.Node, c.StateDir, c.Coordinators = "node1", stateDir, []string{here}
	return New(c, m, slog.New(slog.DiscardHandler))
}

const here = "coordinator:7443"

// A desk is a coordinator reduced to what agents see of it.
type desk struct {
	rpc.Backend // operators do not call in these tests
	welcome     ha.Welcome

	mu      sync.Mutex
	hellos  []ha.Hello
	reports []ha.Report
	results []ha.OrderResult
	orders  chan ha.Order // to node, or to whoever came last if node is empty
	node    ha.NodeName
	// met, if set, is signalled when an agent says hello.
	met chan struct{}
}

func (d *desk) Hello(_ context.Context, h ha.Hello) (ha.Welcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hellos = append(d.hellos, h)
	select {
	case d.met <- struct{}{}:
	default:
	}
	return d.welcome, nil
}

func (d *desk) Report(_ context.Context, r ha.Report) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, r)
	return nil
}

func (d *desk) Orders(_ context.Context, node ha.NodeName) (<-chan ha.Order, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mine := make(chan ha.Order, 10)
	if d.node == "" || d.node == node {
		d.orders = mine
	}
	return mine, nil
}

func (d *desk) OrderDone(_ context.Context, r ha.OrderResult) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.results = append(d.results, r)
	return nil
}

// seen runs look on the desk's records.
func seen[T any](d *desk, look func() T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return look()
}

// A lan is a network in memory.
type lan struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

// serve runs a coordinator at an address until stop is called, at the latest when the
// test ends.
func (n *lan) serve(t *testing.T, address string, d *desk, ca *rpc.CA) (stop func()) {
	t.Helper()
	files := issue(t, ca, rpc.RoleCoordinator, "home")
	tls, err := rpc.ServerTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	s := rpc.NewServer(d, tls, slog.New(slog.DiscardHandler))
	l := bufconn.Listen(64 << 10)
	n.mu.Lock()
	if n.listeners == nil {
		n.listeners = make(map[string]*bufconn.Listener)
	}
	n.listeners[address] = l
	n.mu.Unlock()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		n.mu.Lock()
		delete(n.listeners, address)
		n.mu.Unlock()
		s.Stop()
		serving.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (n *lan) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return l.DialContext(ctx)
}

func newCA(t *testing.T) *rpc.CA {
	t.Helper()
	ca, err := rpc.NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *rpc.CA, role rpc.Role, name string) rpc.Files {
	t.Helper()
	return issueInto(t, ca, role, name, t.TempDir())
}

func issueInto(t *testing.T, ca *rpc.CA, role rpc.Role, name, dir string) rpc.Files {
	t.Helper()
	c, err := ca.Issue(role, name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
