package coordinator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// hookMax is how long the hook for the core apps may take: it installs what the whole
	// house runs on.
	hookMax = 30 * time.Minute
	// hookWordsMax is how much of the end of what it says and complains of is kept.
	hookWordsMax = 1 << 10
	// hookUnchanged is the last line a hook prints that found nothing to do.
	hookUnchanged = "unchanged"
)

// hooks are the hooks that run, by operation. They do not outlive this process; one that was
// cut off is run anew, and must be made for that.
type hooks struct {
	mu      sync.Mutex
	running map[string]bool
}

func (h *hooks) begin(operation string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		h.running = make(map[string]bool)
	}
	h.running[operation] = true
}

func (h *hooks) end(operation string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, operation)
}

func (h *hooks) runs(operation string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running[operation]
}

// busy reports whether a hook of another operation runs: that one has ended meanwhile.
func (h *hooks) busy(operation string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for other := range h.running {
		if other != operation {
			return true
		}
	}
	return false
}

// aside is what an operation needs to know beside the snapshot.
func (c *Coordinator) aside(o ha.Operation, s ha.Snapshot) planner.Aside {
	a := planner.Aside{Hook: c.config.BootstrapHook != "", HookRuns: c.hooks.runs(o.ID), HookBusy: c.hooks.busy(o.ID)}
	if o.Kind == ha.OperationBootstrap {
		a.Unready, a.Accepted = check.Blockers(s, nil, o.Options.Accept)
		a.Unready = withoutAbsent(a.Unready)
	}
	return a
}

// withoutAbsent leaves out what is said of targets that have no guest: on blank nodes none
// has one yet, and one whose guest was deleted must not keep the others from being
// protected. The planner leaves such a target as it is, and says so.
func withoutAbsent(blockers []ha.Blocker) []ha.Blocker {
	return slices.DeleteFunc(blockers, func(b ha.Blocker) bool { return b.Code == check.TargetNotFound })
}

// runHook runs the configured command, beside the ticks: what it is about comes as JSON on
// its standard input. Exit code 0 means that everything is as it should be.
func (c *Coordinator) runHook(ctx context.Context, op ha.Operation, deed ha.RunHook) error {
	event, err := json.Marshal(struct {
		Event   string        `json:"event"`
		ID      string        `json:"operation"`
		Project string        `json:"project"`
		Nodes   []ha.NodeName `json:"nodes"`
		Storage string        `json:"storage"`
	}{"bootstrap", op.ID, deed.Project, deed.Nodes, deed.Storage})
	if err != nil {
		return err
	}
	c.hooks.begin(op.ID)
	go func() {
		defer c.soon()
		defer c.hooks.end(op.ID)
		unchanged, why := execHook(ctx, c.config.BootstrapHook, event)
		var e *ha.Event
		if why != "" {
			c.log.Error("the hook for the core apps failed", "operation", op.ID, "hook", c.config.BootstrapHook, "reason", why)
			e = &ha.Event{Type: ha.EventFailed, Text: "the hook for the core apps: " + why}
		}
		err := c.noteStep(op, time.Now(), e, func(o *ha.Operation) {
			for k := range o.Steps {
				st := &o.Steps[k]
				switch {
				case st.Command != deed.Command() || st.State != ha.StepDoing:
				case why != "":
					st.Note = why
				case unchanged:
					st.State, st.Answered, st.Ended = ha.StepUnchanged, time.Now(), time.Now()
				default:
					st.Answered = time.Now()
				}
			}
		})
		if err != nil {
			c.log.Error("what came of the hook could not be stored", "operation", op.ID, "error", err)
		}
	}()
	return nil
}

// execHook runs the hook and says why it failed, "" if it did not, and whether it had
// nothing to do.
func execHook(ctx context.Context, path string, event []byte) (unchanged bool, why string) {
	ctx, cancel := context.WithTimeout(ctx, hookMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Stdin = bytes.NewReader(append(event, '\n'))
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.WaitDelay = 5 * time.Second
	var said, complaint tail
	cmd.Stdout, cmd.Stderr = &said, &complaint
	err := cmd.Run()
	switch {
	case err == nil:
		lines := strings.Split(said.String(), "\n")
		return strings.TrimSpace(lines[len(lines)-1]) == hookUnchanged, ""
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return false, fmt.Sprintf("%s did not end within %s", path, hookMax)
	}
	why = fmt.Sprintf("%s: %v", path, err)
	if out := complaint.String(); out != "" {
		why += ": " + strings.ReplaceAll(out, "\n", "; ")
	}
	return false, why
}

// tail keeps the end of what is written to it: a hook may talk for half an hour.
type tail struct{ end []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p...)
	if over := len(t.end) - hookWordsMax; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(p), nil
}

// String is what was kept, without the space around it and what is not UTF-8.
func (t *tail) String() string { return strings.ToValidUTF8(strings.TrimSpace(string(t.end)), "") }
