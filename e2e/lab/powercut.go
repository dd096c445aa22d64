package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// predictionSlack: a prediction is good to two rounds of the HA manager, of 10 s each.
const predictionSlack = 20 * time.Second

// fate is one target in a power cut: what was predicted and what was seen.
type fate struct {
	Name      string        `json:"name"`
	Managed   bool          `json:"managed"`
	To        string        `json:"to"`
	UpAt      time.Duration `json:"up_at"`
	seenOn    string
	seenAfter time.Duration // of the cluster's time
}

// powerCut asks what would happen if a node lost its power, cuts it, and holds what
// happens against the answer.
func (d *demo) powerCut(ctx context.Context) (string, error) {
	const victim = "node2"
	if _, err := d.run(ctx, 0, "ha", "simulate", "--fail", victim); err != nil {
		return "", err
	}
	fates, err := d.predicted(ctx, victim)
	if err != nil {
		return "", err
	}
	last, err := d.lastEvent(ctx)
	if err != nil {
		return "", err
	}
	d.say("\nThe power of %s is cut now.", victim)
	if err := d.watchPowerCut(ctx, victim, fates); err != nil {
		return "", err
	}
	pause(ctx, 3*time.Second) // the coordinator sees it with its next look
	if _, err := d.run(ctx, 0, "ha", "events", "--after", last); err != nil {
		return "", err
	}
	if _, err := d.run(ctx, 0, "ha", "status"); err != nil {
		return "", err
	}
	return d.compare(fates)
}

// predicted is psw's own answer, for the targets the HA manager restarts.
func (d *demo) predicted(ctx context.Context, victim string) ([]*fate, error) {
	cmd := exec.CommandContext(ctx, d.psw, "-C", d.lab.Project, "ha", "simulate", "--fail", victim, "-o", "json")
	cmd.Env = environment(d.lab.options.Environ)
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("psw ha simulate: %w", err)
	}
	var answer struct {
		Targets []*fate `json:"targets"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("psw ha simulate prints no JSON: %w", err)
	}
	var out []*fate
	for _, f := range answer.Targets {
		if f.Managed {
			out = append(out, f)
		}
	}
	if protected := d.protectedOn(victim); len(out) != len(protected) {
		return nil, fmt.Errorf("psw predicts the fate of %d targets, HA-protected on %s are: %s", len(out), victim, strings.Join(protected, ", "))
	}
	return out, nil
}

func (d *demo) protectedOn(node string) []string {
	var out []string
	for _, t := range d.lab.policy.Policy.Targets {
		if t.Type != ha.TargetBare && t.HA && d.runsOn(t.Name) == node {
			out = append(out, t.Name)
		}
	}
	return out
}

// watchPowerCut cuts the power and notes where and when each target runs again.
func (d *demo) watchPowerCut(ctx context.Context, victim string, fates []*fate) error {
	speed := d.lab.options.Speed
	cut := time.Now()
	d.lab.Cluster.PowerOff(victim)
	return WaitFor(ctx, time.Duration(float64(5*time.Minute)/speed), "Proxmox restarts what "+victim+" held", func() bool {
		missing := 0
		for _, f := range fates {
			if f.seenOn != "" {
				continue
			}
			if at := d.runsOn(f.Name); at != "" && at != victim {
				f.seenOn, f.seenAfter = at, time.Duration(float64(time.Since(cut))*speed)
			} else {
				missing++
			}
		}
		return missing == 0
	})
}

// compare shows prediction and observation side by side.
func (d *demo) compare(fates []*fate) (string, error) {
	d.say("\n  TARGET       PREDICTED           OBSERVED            (of the cluster's time)")
	var wrong []string
	for _, f := range fates {
		d.say("  %-12s %-6s after %4.0f s  %-6s after %4.0f s", f.Name, f.To, f.UpAt.Seconds(), f.seenOn, f.seenAfter.Seconds())
		if f.To != f.seenOn {
			wrong = append(wrong, fmt.Sprintf("%s was predicted on %s and is on %s", f.Name, f.To, f.seenOn))
		} else if off := (f.seenAfter - f.UpAt).Abs(); off > predictionSlack {
			wrong = append(wrong, fmt.Sprintf("%s was %.0f s off its prediction", f.Name, off.Seconds()))
		}
	}
	if len(wrong) > 0 {
		return "", fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return fmt.Sprintf("%d protected target(s) back where and when psw ha simulate said", len(fates)), nil
}
