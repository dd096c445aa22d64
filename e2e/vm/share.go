package vm

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// running is a cluster that runs, and the coordinator that its agents report to.
type running struct {
	c *conductor
	// agents are the nodes with an agent.
	agents []string
	// shared: the story it was begun for lets the next one have it.
	shared bool
}

// Start gives a story a fresh cluster that is whole, with agents on the nodes it names,
// which have reported to a fresh coordinator. It ends with the story. An agent that nobody
// looks at is left out: without KVM it costs a third of a core.
func Start(t testing.TB, r *Rig, agents ...string) *Lab {
	t.Helper()
	return r.story(t, false, agents)
}

// Share gives a story the cluster of the story before it, if that shared its own with
// agents on the same nodes; else a fresh one, as Start does. A story that shares leaves the
// cluster as it found it: a short one would be mostly beginning otherwise.
func Share(t testing.TB, r *Rig, agents ...string) *Lab {
	t.Helper()
	return r.story(t, true, agents)
}

func (r *Rig) story(t testing.TB, shared bool, agents []string) *Lab {
	t.Helper()
	l := &Lab{t: t, rig: r}
	began := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			l.tellWhy()
		}
		if t.Failed() || !shared {
			r.stop()
		}
		r.note(t, began)
	})
	if now := r.now; shared && now != nil && now.shared && slices.Equal(now.agents, agents) {
		l.c = now.c
		l.wholeAgain()
		t.Logf("%6.1f s  the cluster of the story before is whole", time.Since(began).Seconds())
		return l
	}
	r.stop()
	l.begin(shared, agents)
	t.Logf("%6.1f s  to the beginning of the story", time.Since(began).Seconds())
	return l
}

// begin restores the machines and starts what is to run besides them.
func (l *Lab) begin(shared bool, agents []string) {
	l.t.Helper()
	r, began := l.rig, time.Now()
	r.now = &running{shared: shared, agents: agents}
	l.must(r.restore(l.t.Context()))
	l.t.Logf("%6.1f s  machines restored", time.Since(began).Seconds())
	if len(agents) == 0 {
		return
	}
	r.coordinators++
	var err error
	r.now.c, err = r.startConductor(l.t.Context(), filepath.Join(r.dir, fmt.Sprintf("coordinator-%d", r.coordinators)))
	l.must(err)
	l.c = r.now.c
	// One after the other: a beginning costs most.
	for _, name := range agents {
		l.must(l.Node(name).m.startAgent(l.t.Context(), writeEvery(len(agents))))
		l.Await("the agent of "+name+" reports", time.Minute, func(v View) string {
			if _, ok := v.Report(name); !ok {
				return name + " has not reported"
			}
			return ""
		})
	}
}

// stop ends the cluster that runs, if one does.
func (r *Rig) stop() {
	r.kill()
	if r.now != nil && r.now.c != nil {
		r.now.c.end()
	}
	r.now = nil
}

// wholeAgain sees that a story does not begin with what the one before it left.
func (l *Lab) wholeAgain() {
	l.t.Helper()
	began := time.Now()
	whole := map[string]func(View) string{}
	for _, name := range l.rig.now.agents {
		whole[name] = func(v View) string {
			if r, ok := v.FreshReport(ha.NodeName(name)); !ok || r.Received.Before(began) {
				return "it has not reported since"
			}
			return v.WholeOn(name)
		}
	}
	l.AwaitEach("every agent reports a whole cluster", time.Minute, whole)
}

// startAgent starts the node's agent by its packaged unit. The settings are written to
// the host's folder as well, so that a machine that is reset begins with them.
func (m *machine) startAgent(ctx context.Context, writeEvery time.Duration) error {
	settings := agentSettings(m.id, writeEvery)
	err := replace(filepath.Join(m.dir, "share", m.name, "root/etc/psw-ha/agent.env"), []byte(settings), 0o600)
	if err != nil {
		return err
	}
	if err := m.put(ctx, "/etc/psw-ha/agent.env", settings); err != nil {
		return err
	}
	_, err = m.run(ctx, "systemctl start --no-block psw-agent")
	return err
}

// writeEvery is how often an agent tries to write to the shared storage: as often as it may
// where it is alone and stories wait for it, else as it is shipped.
func writeEvery(agents int) time.Duration {
	if agents == 1 {
		return 10 * time.Second
	}
	return time.Minute
}

// told is what became of a story.
type told struct {
	name string
	took time.Duration
	how  string
}

func (r *Rig) note(t testing.TB, began time.Time) {
	how := "passed"
	switch {
	case t.Failed():
		how = "FAILED"
	case t.Skipped():
		how = "left out"
	}
	r.stories = append(r.stories, told{t.Name(), time.Since(began), how})
}

// Summary says what became of each story and what took the time.
func (r *Rig) Summary() string {
	var b strings.Builder
	var all time.Duration
	failed := 0
	fmt.Fprintf(&b, "\n%d stories of real machines:\n", len(r.stories))
	for _, s := range r.stories {
		fmt.Fprintf(&b, "  %-9s %6.1f s  %s\n", s.how, s.took.Seconds(), s.name)
		all += s.took
		if s.how == "FAILED" {
			failed++
		}
	}
	fmt.Fprintf(&b, "  %d failed; %s in the stories, %s in making the first cluster\n", failed, all.Round(time.Second)-r.cold.Round(time.Second), r.cold.Round(time.Second))
	return b.String()
}
