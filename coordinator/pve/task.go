package pve

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// taskPauseMin and taskPauseMax are the pauses between two looks at a task: short
	// tasks are noticed at once, a long migration costs one call every five seconds.
	taskPauseMin = 500 * time.Millisecond
	taskPauseMax = 5 * time.Second
	// taskSilenceMax is for how long nobody may be able to tell how a task fares before
	// WaitTask gives up. A restart of pveproxy takes seconds; a node that is away for a
	// minute has lost its tasks or is being fenced.
	taskSilenceMax = time.Minute
	// taskLogPage is how many lines of a task's log are read at once, taskLogMax how many
	// in all; taskTail is how many a TaskError carries.
	taskLogPage = 2000
	taskLogMax  = 20000
	taskTail    = 8
)

// TaskError is a task that ended, and not well.
type TaskError struct {
	UPID UPID
	// Status is the task's exit text. "unexpected status" means that its process vanished.
	Status string
	// Log holds the last lines of its log, oldest first; empty if it could not be read.
	Log []string
}

func (e *TaskError) Error() string {
	text := fmt.Sprintf("task %s of %s on %s: %s", e.UPID.Type, e.UPID.ID, e.UPID.Node, oneLine(e.Status))
	if len(e.Log) > 0 {
		text += " (log: " + strings.Join(e.Log, " | ") + ")"
	}
	return text
}

// warnings is the exit text of a task that did its work and complained.
var warnings = regexp.MustCompile(`^WARNINGS: \d+$`)

// taskRow is GET /nodes/NODE/tasks/UPID/status.
type taskRow struct {
	Status String `json:"status"` // running or stopped
	Exit   String `json:"exitstatus"`
}

// WaitTask waits until a task has ended. nil means that it ended well, "WARNINGS: n"
// included. A task that failed is a *TaskError with its exit text and the end of its log.
// Passing failures to ask are tolerated for a minute, through whichever node answers;
// after that it is an Unavailable error and the task's outcome is unknown. An unknown task
// is NotFound. It returns as soon as ctx ends.
//
// A hamigrate, hastart or hastop task ends as soon as the request is queued; it proves
// nothing about the guest.
func (c *Client) WaitTask(ctx context.Context, upid string) error {
	task, err := ParseUPID(upid)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("follow the %s task of %s on %s", task.Type, task.ID, task.Node)
	answered := time.Now()
	for pause := taskPauseMin; ; pause = min(pause*3/2, taskPauseMax) {
		row, err := read[taskRow](ctx, c, taskPath(task)+"/status")
		switch {
		case err == nil && row.Status == "stopped":
			return c.taskEnd(ctx, what, task, string(row.Exit))
		case err == nil && row.Status == "running":
			answered = time.Now()
		case err == nil:
			err = fmt.Errorf("its state reads %q", row.Status)
		case ctx.Err() == nil && !transient(err):
			return explain(what, err)
		}
		if err != nil && ctx.Err() == nil && time.Since(answered) >= taskSilenceMax {
			return explain(what, fmt.Errorf("nobody could tell for %s: %w", taskSilenceMax, err))
		}
		if stop := sleep(ctx, pause); stop != nil {
			return ha.Errorf(ha.Unavailable, "cannot %s: %w", what, stop)
		}
	}
}

// taskEnd judges the exit text of a task.
func (c *Client) taskEnd(ctx context.Context, what string, task UPID, exit string) error {
	if exit == "OK" || warnings.MatchString(exit) {
		return nil
	}
	failed := &TaskError{UPID: task, Status: ha.WithoutCommandLine(exit)}
	if exit == "" {
		failed.Status = "it stopped without an exit status"
	}
	// The log is a courtesy to the reader of the error; without it the error stands.
	if lines, err := c.taskLog(ctx, task); err == nil {
		for _, line := range lines[max(0, len(lines)-taskTail):] {
			failed.Log = append(failed.Log, ha.WithoutCommandLine(line))
		}
	} else {
		c.log.Debug("task log not readable", "upid", task.String(), "error", err)
	}
	return explain(what, failed)
}

// downtime is in the log of a live migration (qemu-server of PVE 9.2):
// "average migration speed: 256.0 MiB/s - downtime 20 ms". The line "migration downtime
// limit: 100 ms" is not it.
var downtime = regexp.MustCompile(`average migration speed: .* - downtime (\d{1,12}) ms\s*$`)

// Downtime reads from the log of a live migration for how long the VM stood still. False
// means that the log does not say: the migration was not live, failed, or is not over.
func (c *Client) Downtime(ctx context.Context, upid string) (time.Duration, bool, error) {
	task, err := ParseUPID(upid)
	if err != nil {
		return 0, false, err
	}
	lines, err := c.taskLog(ctx, task)
	if err != nil {
		return 0, false, explain(fmt.Sprintf("read the log of the %s task of %s on %s", task.Type, task.ID, task.Node), err)
	}
	d, ok := findDowntime(lines)
	return d, ok, nil
}

func findDowntime(lines []string) (time.Duration, bool) {
	for k := len(lines) - 1; k >= 0; k-- {
		if m := downtime.FindStringSubmatch(lines[k]); m != nil {
			ms, err := strconv.ParseInt(m[1], 10, 64)
			return time.Duration(ms) * time.Millisecond, err == nil
		}
	}
	return 0, false
}

// logRow is a line of GET /nodes/NODE/tasks/UPID/log.
type logRow struct {
	Text String `json:"t"`
}

// taskLog reads a task's log, a page at a time, up to its limit.
func (c *Client) taskLog(ctx context.Context, task UPID) ([]string, error) {
	var lines []string
	for len(lines) < taskLogMax {
		page, err := read[[]logRow](ctx, c, fmt.Sprintf("%s/log?start=%d&limit=%d", taskPath(task), len(lines), taskLogPage))
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			lines = append(lines, string(row.Text))
		}
		if len(page) < taskLogPage {
			return lines, nil
		}
	}
	return lines, errors.New("the log has too many lines")
}

func taskPath(task UPID) string {
	return "/nodes/" + url.PathEscape(string(task.Node)) + "/tasks/" + url.PathEscape(task.String())
}
