package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A demo runs the product's main job on a lab, unattended, with the real psw, and holds
// what psw says against what really happened.
type demo struct {
	lab   *Lab
	psw   string
	out   io.Writer
	began time.Time
	steps []stepResult
}

type stepResult struct {
	name  string
	took  time.Duration
	seen  string
	fault string
}

// Demo runs the demo. It is an error if a single observation did not hold.
func Demo(ctx context.Context, l *Lab, psw string, out io.Writer) error {
	d := &demo{lab: l, psw: psw, out: out, began: time.Now()}
	d.intro()
	d.step(ctx, "the project is valid", d.validate)
	d.step(ctx, "HA is ready, not only enabled", d.check)
	d.step(ctx, "everything is registered", d.plan)
	d.step(ctx, "node1 is emptied", d.drain)
	d.step(ctx, "everything comes home", d.home)
	d.step(ctx, "node2 loses its power, as predicted", d.powerCut)
	return d.summary()
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) intro() {
	d.say("A simulated Proxmox VE cluster of %d nodes, an agent on each, a coordinator, and the real psw.", len(d.lab.Cluster.Nodes()))
	d.say("The cluster lives %gx as fast as a real one: a second here is %g seconds there.", d.lab.options.Speed, d.lab.options.Speed)
	d.say("The project is %s/network.yml: %s.", d.lab.Project, d.targets())
}

func (d *demo) targets() string {
	var parts []string
	for _, t := range d.lab.policy.Policy.Targets {
		if t.Type == ha.TargetBare {
			continue
		}
		s := fmt.Sprintf("%s (%s on %s", t.Name, t.Type, t.Node)
		if t.HA {
			s += ", HA"
		}
		parts = append(parts, s+")")
	}
	return strings.Join(parts, ", ")
}

// step runs one step and prints how it went.
func (d *demo) step(ctx context.Context, name string, run func(ctx context.Context) (seen string, err error)) {
	if len(d.steps) > 0 && d.steps[len(d.steps)-1].fault != "" || ctx.Err() != nil {
		d.steps = append(d.steps, stepResult{name: name, fault: "not reached"})
		return
	}
	d.say("\n=== %s", name)
	begin := time.Now()
	r := stepResult{name: name}
	var err error
	if r.seen, err = run(ctx); err != nil {
		r.fault = err.Error()
		d.say("!!! %s", r.fault)
	}
	r.took = time.Since(begin)
	d.steps = append(d.steps, r)
}

func (d *demo) summary() error {
	d.say("\n=== summary")
	failed := 0
	for _, s := range d.steps {
		word, text := "PASS", s.seen
		if s.fault != "" {
			word, text = "FAIL", s.fault
			failed++
		}
		d.say("%s: %-36s %5.1f s   %s", word, s.name, s.took.Seconds(), text)
	}
	if twice := d.lab.Cluster.DoubleRun(); len(twice) > 0 {
		failed++
		d.say("FAIL: a guest ran on two nodes at once: %v", twice)
	} else {
		d.say("PASS: no guest ever ran on two nodes at once")
	}
	d.say("%.0f s in all", time.Since(d.began).Seconds())
	if failed > 0 {
		return fmt.Errorf("%d observations did not hold", failed)
	}
	return nil
}

// run runs psw, shows what it prints, and returns it. Another exit code than want is an
// error.
func (d *demo) run(ctx context.Context, want int, args ...string) (string, error) {
	d.say("\n$ psw -C %s %s", d.lab.Project, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.psw, append([]string{"-C", d.lab.Project}, args...)...)
	cmd.Env = environment(d.lab.options.Environ)
	var answer bytes.Buffer
	cmd.Stdout = io.MultiWriter(d.out, &answer)
	cmd.Stderr = d.out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return "", fmt.Errorf("cannot run psw: %w", err)
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		return answer.String(), fmt.Errorf("psw %s: exit code %d, want %d", strings.Join(args, " "), code, want)
	}
	return answer.String(), nil
}

func (d *demo) validate(ctx context.Context) (string, error) {
	_, err := d.run(ctx, 0, "project", "validate")
	return "no fault", err
}

func (d *demo) check(ctx context.Context) (string, error) {
	if _, err := d.run(ctx, 0, "ha", "status"); err != nil {
		return "", err
	}
	_, err := d.run(ctx, 0, "ha", "check", "--wait", "30s")
	return "no FAIL, no UNKNOWN", err
}

func (d *demo) plan(ctx context.Context) (string, error) {
	_, err := d.run(ctx, 0, "ha", "plan")
	return "nothing to change", err
}

func (d *demo) drain(ctx context.Context) (string, error) {
	answer, err := d.run(ctx, 0, "maintenance", "start", "node1", "--yes")
	if err != nil {
		return "", err
	}
	if !strings.Contains(answer, "safe to power off") {
		return "", fmt.Errorf("psw did not say that node1 is safe to power off")
	}
	if left := d.lab.Cluster.Running("node1"); len(left) > 0 {
		return "", fmt.Errorf("psw called node1 safe, but %s runs there", left[0].SID)
	}
	return "no guest process left on node1 when psw said so", nil
}

func (d *demo) home(ctx context.Context) (string, error) {
	if _, err := d.run(ctx, 0, "maintenance", "end", "node1", "--yes"); err != nil {
		return "", err
	}
	if away := d.away(); len(away) > 0 {
		return "", fmt.Errorf("not at home: %s", strings.Join(away, ", "))
	}
	return "every target runs on its preferred node", nil
}

// away lists the targets that do not run on their preferred node.
func (d *demo) away() []string {
	var out []string
	for _, t := range d.lab.policy.Policy.Targets {
		if t.Type == ha.TargetBare {
			continue
		}
		if at := d.runsOn(t.Name); at != string(t.Node) {
			out = append(out, fmt.Sprintf("%s (on %q, not %s)", t.Name, at, t.Node))
		}
	}
	return out
}

func (d *demo) runsOn(name string) string {
	for _, g := range d.lab.Cluster.Guests() {
		if g.Name == name {
			return g.Running
		}
	}
	return ""
}

// lastEvent is the number of the newest event, so that the next listing begins behind it.
func (d *demo) lastEvent(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, d.psw, "-C", d.lab.Project, "ha", "events", "-o", "json")
	cmd.Env = environment(d.lab.options.Environ)
	raw, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("psw ha events: %w", err)
	}
	var last ha.Event
	for line := range bytes.Lines(raw) {
		if err := json.Unmarshal(line, &last); err != nil {
			return "", fmt.Errorf("psw ha events prints %q: %w", line, err)
		}
	}
	return strconv.FormatUint(last.Seq, 10), nil
}
