package cli

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// A world is what the coordinator of a test sees and answers. Answers that are lists are
// given one after another; the last one stays. Each view of a story lasts for pace.
type world struct {
	status   []ha.ClusterStatus
	verdicts []ha.Readiness
	plan     ha.PlanView
	facts    ha.Snapshot
	preview  ha.Preview
	// operationPreview and operations are what is said of operations; the latter one after
	// another to whoever watches.
	operationPreview ha.OperationPreview
	operations       []ha.OperationView
	story            []ha.MaintenanceView
	pace             time.Duration
	journal          []ha.Event
	proofs           []ha.Proof
	untried          error // why nothing can be tried
	// now is what Maintenances answers before anything was asked for.
	now []ha.MaintenanceView
	// refuse is the answer to StartMaintenance and EndMaintenance.
	refuse error
	// What operators said, and what is said of a target.
	mutes       []ha.Mute
	acks        []ha.Acknowledgement
	explanation ha.Explanation

	mu    sync.Mutex
	asked []string // what was asked for, in order
	since time.Time
	count map[string]int
}

// turn is how often what was asked before, for answers one after another.
func (w *world) turn(what string, answers int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = map[string]int{}
	}
	w.count[what]++
	return min(w.count[what], answers) - 1
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
}

func (w *world) Status(context.Context, *ha.Policy) (ha.ClusterStatus, error) {
	return w.status[w.turn("status", len(w.status))], nil
}

func (w *world) Check(_ context.Context, r ha.CheckRequest) (ha.Readiness, error) {
	if len(r.Only) > 0 || r.Target != "" {
		w.note("check %s %v %s", r.Profile, r.Only, r.Target)
	}
	return w.verdicts[w.turn("check", len(w.verdicts))], nil
}

func (w *world) Plan(_ context.Context, p *ha.Policy) (ha.PlanView, error) {
	w.note("plan %s", p.Project)
	return w.plan, nil
}

func (w *world) Facts(_ context.Context, p *ha.Policy) (ha.Snapshot, error) {
	w.note("facts %s", p.Project)
	if w.refuse != nil {
		return ha.Snapshot{}, w.refuse
	}
	return w.facts, nil
}

func (w *world) PreviewStart(context.Context, ha.MaintenanceRequest) (ha.Preview, error) {
	return w.preview, nil
}

func (w *world) PreviewEnd(context.Context, ha.MaintenanceRequest) (ha.Preview, error) {
	return w.preview, nil
}

func (w *world) StartMaintenance(_ context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	return w.begin("start", r)
}

func (w *world) EndMaintenance(_ context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	return w.begin("end", r)
}

func (w *world) begin(what string, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	w.note("%s %s by %s: %s, guests %v, deadline %s", what, r.Node, r.By, r.Message, r.Options.Guests, clock(r.Options.Deadline))
	if w.refuse != nil {
		return ha.Maintenance{}, w.refuse
	}
	m := w.story[0].Maintenance
	m.ID = w.story[len(w.story)-1].Maintenance.ID
	return m, nil
}

func (w *world) CancelMaintenance(_ context.Context, node ha.NodeName, by string) (ha.Maintenance, error) {
	w.note("cancel %s by %s", node, by)
	if len(w.story) == 0 {
		return ha.Maintenance{}, ha.Errorf(ha.NotFound, "%s has no open maintenance", node)
	}
	return w.story[0].Maintenance, nil
}

func (w *world) Maintenances(context.Context, ha.NodeName) ([]ha.MaintenanceView, error) {
	return w.now, nil
}

// WatchMaintenance tells the story from where it stands: it goes on, watched or not.
func (w *world) WatchMaintenance(ctx context.Context, _ ha.NodeName, fn func(ha.MaintenanceView) error) error {
	if len(w.story) == 0 {
		return ha.Errorf(ha.NotFound, "node1 has never been in maintenance")
	}
	w.mu.Lock()
	if w.since.IsZero() {
		w.since = time.Now()
	}
	w.mu.Unlock()
	for shown := -1; ; {
		now := min(int(time.Since(w.since)/w.pace), len(w.story)-1)
		if now != shown {
			if err := fn(w.story[now]); err != nil {
				return err
			}
			shown = now
		}
		if err := pause(ctx, time.Until(w.since.Add(time.Duration(now+1)*w.pace))); err != nil {
			return err
		}
	}
}

// Events tells the journal; when followed, an entry every pace.
func (w *world) Events(ctx context.Context, after uint64, follow bool, fn func(ha.Event) error) error {
	for _, e := range w.journal {
		if e.Seq <= after {
			continue
		}
		if err := fn(e); err != nil {
			return err
		}
		if follow {
			if err := pause(ctx, w.pace); err != nil {
				return err
			}
		}
	}
	if follow {
		<-ctx.Done()
	}
	return nil
}

func (w *world) Mute(_ context.Context, r ha.MuteRequest) (ha.Mute, error) {
	w.note("mute %s of %q for %s by %s: %s", r.Code, r.Subject, r.For, r.By, r.Message)
	m := ha.Mute{Code: r.Code, Subject: r.Subject, At: at("14:02:11"), Until: at("14:02:11").Add(r.For), By: r.By, Message: r.Message}
	for _, known := range w.mutes {
		if known.Code == r.Code {
			m.Worst, m.Subjects = known.Worst, known.Subjects
		}
	}
	return m, w.refuse
}

func (w *world) Unmute(_ context.Context, code ha.Code, subject, by string) ([]ha.Mute, error) {
	w.note("unmute %s of %q by %s", code, subject, by)
	return w.mutes, w.refuse
}

func (w *world) Mutes(context.Context) ([]ha.Mute, error) { return w.mutes, nil }

func (w *world) Acknowledge(_ context.Context, a ha.Acknowledgement) (ha.Acknowledgement, error) {
	w.note("ack %s of %q by %s: %s", a.Item, a.Node, a.By, a.Note)
	a.At = at("14:02:11")
	return a, w.refuse
}

func (w *world) Withdraw(_ context.Context, a ha.Acknowledgement) error {
	w.note("withdraw %s of %q by %s", a.Item, a.Node, a.By)
	return w.refuse
}

func (w *world) Acknowledgements(context.Context) ([]ha.Acknowledgement, error) { return w.acks, nil }

func (w *world) Explain(_ context.Context, target string, _ *ha.Policy) (ha.Explanation, error) {
	w.note("explain %s", target)
	return w.explanation, w.refuse
}

// What agents ask is no part of these tests.
func (w *world) Hello(context.Context, ha.Hello) (ha.Welcome, error) { return ha.Welcome{}, nil }
func (w *world) Report(context.Context, ha.Report) error             { return nil }
func (w *world) OrderDone(context.Context, ha.OrderResult) error     { return nil }
func (w *world) Orders(context.Context, ha.NodeName) (<-chan ha.Order, error) {
	return nil, ha.Errorf(ha.Denied, "no agent here")
}

// A house is a coordinator that can be reached: a real server with real TLS on a network
// in memory, in which virtual time flows.
type house struct {
	t       *testing.T
	world   *world
	project string

	mu     sync.Mutex
	listen *bufconn.Listener // nil while the coordinator is down
	server *grpc.Server
}

// newHouse makes a project whose coordinator answers with w. It must be made inside the
// bubble that it is used in.
func newHouse(t *testing.T, w *world) *house {
	t.Helper()
	h := &house{t: t, world: w, project: newProject(t, projectFile)}
	home := filepath.Join(h.project, ".psw", "ha")
	writeFile(t, filepath.Join(home, "client.json"), `{"coordinator": ["node2:7443"]}`)
	certificates(t, home)
	h.up()
	return h
}

// certificates puts those of anna, an operator, and of the coordinator into dir.
func certificates(t *testing.T, dir string) {
	t.Helper()
	ca, err := rpc.NewCA("home")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []rpc.Identity{{Role: rpc.RoleOperator, Name: "anna"}, {Role: rpc.RoleCoordinator, Name: "coordinator"}} {
		cert, err := ca.Issue(id.Role, id.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// serverTLS is the coordinator's side of certificates.
func serverTLS(t *testing.T, project string, w *world) *grpc.Server {
	t.Helper()
	tls, err := rpc.ServerTLS(rpc.FilesIn(filepath.Join(project, ".psw", "ha"), rpc.RoleCoordinator))
	if err != nil {
		t.Fatal(err)
	}
	return rpc.NewServer(w, tls, slog.New(slog.DiscardHandler))
}

// up starts the coordinator, down kills it with everything it was telling.
func (h *house) up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listen, h.server = bufconn.Listen(1<<20), serverTLS(h.t, h.project, h.world)
	go h.server.Serve(h.listen)
}

func (h *house) down() {
	h.mu.Lock()
	server := h.server
	h.listen, h.server = nil, nil
	h.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

func (h *house) dial(ctx context.Context, _ string) (net.Conn, error) {
	h.mu.Lock()
	listen := h.listen
	h.mu.Unlock()
	if listen == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", fmt.Errorf("connection refused"))}
	}
	return listen.DialContext(ctx)
}

// run runs psw in the project and returns what it printed as a transcript.
func (h *house) run(ctx context.Context, command string) (string, int) {
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, nil)
	a.dialOptions = []rpc.OperatorOption{rpc.WithDialer(h.dial)}
	code := a.run(ctx, append([]string{"-C", h.project}, words(command)...))
	text := transcript("psw -C ~/home "+command, code, stdout.String(), stderr.String())
	return strings.ReplaceAll(text, h.project, "~/home"), code
}

// words takes a command line apart at blanks outside of quotes.
func words(command string) []string {
	var list []string
	for k, part := range strings.Split(command, `"`) {
		if k%2 == 1 {
			list = append(list, part)
			continue
		}
		list = append(list, strings.Fields(part)...)
	}
	return list
}

// inBubble runs a story in virtual time, with the bubble's own test in h.t; the
// coordinator is gone when it ends.
func inBubble(t *testing.T, w *world, story func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, w)
		defer h.down()
		story(h)
	})
}
