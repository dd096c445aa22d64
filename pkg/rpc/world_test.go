package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A desk is a coordinator reduced to its mailbox: it stores what arrives and hands out
// what it is given.
type desk struct {
	mu           sync.Mutex
	hellos       []ha.Hello
	reports      []ha.Report
	results      []ha.OrderResult
	requests     []ha.MaintenanceRequest
	cancels      []string
	orders       map[ha.NodeName]chan ha.Order
	sessionsOver int

	welcome   ha.Welcome
	err       error // what every operator's question is answered with, if set
	panics    bool  // Status panics
	resultErr []error
	views     []ha.MaintenanceView
	events    []ha.Event

	proofs []ha.Proof
	proved ha.ProofRequest
	cut    ha.PowerOffRequest
	cutBy  ha.ProofResult
}

func (d *desk) Hello(_ context.Context, h ha.Hello) (ha.Welcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hellos = append(d.hellos, h)
	return d.welcome, nil
}

func (d *desk) Report(_ context.Context, r ha.Report) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, r)
	return nil
}

func (d *desk) Orders(ctx context.Context, node ha.NodeName) (<-chan ha.Order, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orders == nil {
		d.orders = map[ha.NodeName]chan ha.Order{}
	}
	if old := d.orders[node]; old != nil {
		close(old)
	}
	mine := make(chan ha.Order, 100)
	d.orders[node] = mine
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sessionsOver++
		if d.orders[node] == mine {
			delete(d.orders, node)
		}
	})
	return mine, nil
}

// give hands an order to the session of node, which must be there.
func (d *desk) give(t *testing.T, node ha.NodeName, o ha.Order) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orders[node] == nil {
		t.Fatalf("agent %s has no session", node)
	}
	d.orders[node] <- o
}

func (d *desk) OrderDone(_ context.Context, r ha.OrderResult) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.results = append(d.results, r)
	if len(d.resultErr) > 0 {
		err := d.resultErr[0]
		d.resultErr = d.resultErr[1:]
		return err
	}
	return nil
}

func (d *desk) Status(context.Context, *ha.Policy) (ha.ClusterStatus, error) {
	if d.panics {
		panic("a bug in the coordinator")
	}
	return ha.ClusterStatus{Cluster: "home", Quorate: true}, d.err
}

func (d *desk) Check(_ context.Context, r ha.CheckRequest) (ha.Readiness, error) {
	return ha.Readiness{Findings: []ha.Finding{{Code: "NFS_NOT_MOUNTED", Subject: r.Target}}}, d.err
}

func (d *desk) Plan(_ context.Context, p *ha.Policy) (ha.PlanView, error) {
	if p == nil {
		return ha.PlanView{Changes: []ha.Change{{Text: "the stored policy"}}}, d.err
	}
	return ha.PlanView{Changes: []ha.Change{{Text: p.Project}}}, d.err
}

// manyGuests make facts larger than any other message may be.
const manyGuests = 50_000

func (d *desk) Facts(_ context.Context, p *ha.Policy) (ha.Snapshot, error) {
	s := ha.Snapshot{Policy: *p}
	for id := range manyGuests {
		s.Inventory.Guests = append(s.Inventory.Guests, ha.Guest{SID: ha.SID{Kind: ha.VM, ID: 100 + id}, Name: "a guest", Node: "node1",
			Status: ha.GuestRunning, CPUs: 2, MemoryMax: 8 << 30, MemoryUsed: 4 << 30, DiskMax: 64 << 30, Uptime: time.Hour})
	}
	return s, d.err
}

func (d *desk) take(r ha.MaintenanceRequest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = append(d.requests, r)
}

func (d *desk) PreviewStart(_ context.Context, r ha.MaintenanceRequest) (ha.Preview, error) {
	d.take(r)
	return ha.Preview{Node: r.Node, Notices: []string{"start"}}, d.err
}

func (d *desk) PreviewEnd(_ context.Context, r ha.MaintenanceRequest) (ha.Preview, error) {
	d.take(r)
	return ha.Preview{Node: r.Node, Notices: []string{"end"}}, d.err
}

func (d *desk) StartMaintenance(_ context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	d.take(r)
	return ha.Maintenance{Node: r.Node, Phase: ha.Requested}, d.err
}

func (d *desk) EndMaintenance(_ context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	d.take(r)
	return ha.Maintenance{Node: r.Node, Phase: ha.Restoring}, d.err
}

func (d *desk) CancelMaintenance(_ context.Context, node ha.NodeName, by string) (ha.Maintenance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancels = append(d.cancels, by)
	return ha.Maintenance{Node: node, Phase: ha.Cancelled}, d.err
}

func (d *desk) Maintenances(_ context.Context, node ha.NodeName) ([]ha.MaintenanceView, error) {
	return []ha.MaintenanceView{{Maintenance: ha.Maintenance{Node: node}}}, d.err
}

func (d *desk) WatchMaintenance(ctx context.Context, _ ha.NodeName, fn func(ha.MaintenanceView) error) error {
	for _, v := range d.views {
		if err := fn(v); err != nil {
			return err
		}
	}
	if d.err != nil {
		return d.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (d *desk) Events(ctx context.Context, after uint64, follow bool, fn func(ha.Event) error) error {
	for _, e := range d.events {
		if e.Seq > after {
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	if follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return d.err
}

func (d *desk) Mute(_ context.Context, r ha.MuteRequest) (ha.Mute, error) {
	return ha.Mute{Code: r.Code, Subject: r.Subject, By: r.By, Message: r.Message}, d.err
}

func (d *desk) Unmute(_ context.Context, code ha.Code, subject, by string) ([]ha.Mute, error) {
	return []ha.Mute{{Code: code, Subject: subject, By: by}}, d.err
}

func (d *desk) Mutes(context.Context) ([]ha.Mute, error) {
	return []ha.Mute{{Code: "CLOCK_SKEW"}}, d.err
}

func (d *desk) Acknowledge(_ context.Context, a ha.Acknowledgement) (ha.Acknowledgement, error) {
	return a, d.err
}

func (d *desk) Withdraw(_ context.Context, a ha.Acknowledgement) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancels = append(d.cancels, a.Item+" "+string(a.Node)+" "+a.By)
	return d.err
}

func (d *desk) Acknowledgements(context.Context) ([]ha.Acknowledgement, error) {
	return []ha.Acknowledgement{{Item: ha.AckUPS}}, d.err
}

func (d *desk) Explain(_ context.Context, target string, p *ha.Policy) (ha.Explanation, error) {
	return ha.Explanation{Target: target, Summary: p.Project}, d.err
}

// seen runs look on the desk's records.
func seen[T any](d *desk, look func() T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return look()
}

func (d *desk) resultIDs() []string {
	return seen(d, func() (ids []string) {
		for _, r := range d.results {
			ids = append(ids, r.ID)
		}
		return ids
	})
}

// A pki issues what a test needs, in directories of its own.
type pki struct {
	t  *testing.T
	ca *CA
}

func newPKI(t *testing.T) pki {
	t.Helper()
	ca, err := NewCA("test")
	if err != nil {
		t.Fatal(err)
	}
	return pki{t: t, ca: ca}
}

func (p pki) files(role Role, name string) Files {
	p.t.Helper()
	c, err := p.ca.Issue(role, name)
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := c.Save(p.t.TempDir())
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p pki) server() *tls.Config {
	p.t.Helper()
	cfg, err := ServerTLS(p.files(RoleCoordinator, "home"))
	if err != nil {
		p.t.Fatal(err)
	}
	return cfg
}

func (p pki) client(role Role, name string) *tls.Config {
	p.t.Helper()
	cfg, err := ClientTLS(p.files(role, name), RoleCoordinator)
	if err != nil {
		p.t.Fatal(err)
	}
	return cfg
}

// A lan is a network in memory: servers listen at addresses, and nothing else answers.
type lan struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	dialed    []attempt
	cables    []*cable
	dark      bool // nothing gets through, and nobody is told
}

// An attempt is an address that somebody dialed, and when.
type attempt struct {
	address string
	at      time.Time
}

// serve starts a coordinator at an address until stop is called, at the latest when the
// test ends. Stopping it twice is fine.
func (n *lan) serve(t *testing.T, address string, b Backend, cfg *tls.Config) (stop func()) {
	t.Helper()
	s := NewServer(b, cfg, slog.New(slog.DiscardHandler))
	l := bufconn.Listen(64 << 10)
	n.mu.Lock()
	if n.listeners == nil {
		n.listeners = map[string]*bufconn.Listener{}
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
		if n.listeners[address] == l {
			delete(n.listeners, address)
		}
		n.mu.Unlock()
		s.Stop()
		serving.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (n *lan) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, attempt{address, time.Now()})
	l, dark := n.listeners[address], n.dark
	n.mu.Unlock()
	if dark {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	conn, err := l.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	c := &cable{Conn: conn}
	n.mu.Lock()
	n.cables = append(n.cables, c)
	n.mu.Unlock()
	return c, nil
}

// pull makes every connection go dead without a word, as when a switch loses power, and
// keeps new ones from being made until plug is called.
func (n *lan) pull() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark = true
	for _, c := range n.cables {
		c.pull()
	}
	n.cables = nil
}

func (n *lan) plug() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark = false
}

func (n *lan) attempts() []attempt {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dialed)
}

// A cable is a connection that can be pulled: then nothing passes in either direction, and
// neither end is told.
type cable struct {
	net.Conn
	mu     sync.Mutex
	pulled bool
	closed chan struct{}
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	c.closed = make(chan struct{})
}

func (c *cable) Write(b []byte) (int, error) {
	c.mu.Lock()
	pulled := c.pulled
	c.mu.Unlock()
	if pulled {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	pulled, closed := c.pulled, c.closed
	c.mu.Unlock()
	if pulled {
		<-closed
		return 0, net.ErrClosed
	}
	return n, err
}

// Close of a pulled cable is not noticed at the other end either.
func (c *cable) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pulled {
		return c.Conn.Close()
	}
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}
