package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// task is a worker of a node: what a UPID names.
type task struct {
	n         *node
	upid      string
	pid       int
	pstart    int64
	start     instant
	typ, id   string
	user      string // root@pam
	tokenid   string
	log       []string
	ended     bool
	end       instant
	status    string // of an ended task: OK, WARNINGS: 1, or what went wrong
	whenEnded func(status string)
}

// by is who asks for something: a user, and the token he came with.
type by struct{ user, tokenid string }

// system is the cluster itself, e.g. the LRM: root@pam without a token.
var system = by{user: "root@pam"}

func (b by) String() string {
	if b.tokenid == "" {
		return b.user
	}
	return b.user + "!" + b.tokenid
}

// newTask starts a worker. Its UPID has the form of PVE's: node, process, its start in
// clock ticks since boot, start time, type, id and user.
func (n *node) newTask(typ, id string, who by) *task {
	n.nextPID++
	now := n.c.now()
	t := &task{
		n: n, pid: n.nextPID, start: now, typ: typ, id: id, user: who.user, tokenid: who.tokenid,
		pstart: int64(now.sub(n.booted) / (10 * time.Millisecond)),
	}
	t.upid = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", n.name, t.pid, t.pstart, n.c.unix(now), typ, id, who)
	n.tasks = append(n.tasks, t)
	return t
}

func (t *task) logf(format string, args ...any) {
	t.log = append(t.log, strings.Split(fmt.Sprintf(format, args...), "\n")...)
}

// stampf logs a line that begins with the time, as migrations do.
func (t *task) stampf(format string, args ...any) {
	at := t.n.c.clock.wall(t.n.c.now()).UTC().Format("2006-01-02 15:04:05")
	t.logf("%s %s", at, fmt.Sprintf(format, args...))
}

func (t *task) ok() { t.finish("OK") }

// finish ends the task. A status other than OK and WARNINGS is an error's text.
func (t *task) finish(status string) {
	if t.ended {
		return
	}
	t.ended, t.end, t.status = true, t.n.c.now(), status
	if status == "OK" || strings.HasPrefix(status, "WARNINGS: ") {
		t.logf("TASK %s", status)
	} else {
		t.logf("TASK ERROR: %s", status)
	}
	if t.whenEnded != nil {
		t.whenEnded(status)
	}
}

// vanish is what becomes of a task whose node lost power: its log ends without a result.
func (t *task) vanish() {
	t.ended, t.end, t.status = true, t.n.c.now(), "unexpected status"
}

// tasksMax is how many tasks a node broadcasts for /cluster/tasks.
const tasksMax = 25

// Task is a task as it really went.
type Task struct {
	UPID, Node, Type, ID, User string
	Start, End                 time.Time
	// Status is empty while it runs.
	Status string
	Log    []string
}

// Tasks returns every task of every node, in the order of their starts.
func (c *Cluster) Tasks() []Task {
	c.lock()
	defer c.unlock()
	var all []*task
	for _, n := range c.nodes {
		all = append(all, n.tasks...)
	}
	slices.SortStableFunc(all, func(a, b *task) int { return int(a.start.sub(b.start)) })
	list := make([]Task, len(all))
	for k, t := range all {
		list[k] = Task{
			UPID: t.upid, Node: t.n.name, Type: t.typ, ID: t.id, User: t.user,
			Start: c.clock.wall(t.start), Status: t.status, Log: slices.Clone(t.log),
		}
		if t.ended {
			list[k].End = c.clock.wall(t.end)
		}
	}
	return list
}
