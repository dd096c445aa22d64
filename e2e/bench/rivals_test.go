package bench

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var (
	rivals   = flag.Bool("rivals", false, "run the comparison; needs hcheck, hbal, crm_simulate and glpsol")
	runs     = flag.Int("runs", 3, "how often each is run; the table shows medians")
	patience = flag.Duration("patience", time.Minute, "how long a rival may take")
	largest  = flag.Int("largest", 10_000, "the most guests a cluster of the comparison has")
	seed     = flag.Uint64("seed", 1, "what the clusters are generated from")
)

// A row is one program's answer to one question on one cluster.
type row struct {
	cluster, question, program string
	took                       time.Duration
	memory                     int64 // bytes at most, or in all for our own
	answer                     string
}

// TestRivals prints the table. Without -rivals it runs our own part on the smallest cluster
// and checks that what the others would read holds every node and guest.
func TestRivals(t *testing.T) {
	sizes := []size{{8, 200, 0.75}}
	if *rivals {
		sizes = nil
		for _, c := range []size{{8, 200, 0}, {32, 2_000, 0}, {100, 10_000, 0}} {
			for _, full := range []float64{0.5, 0.75, 0.9} {
				if c.guests > *largest {
					continue
				}
				sizes = append(sizes, size{c.nodes, c.guests, full})
			}
		}
	}
	for _, c := range sizes {
		s := world(c, *seed)
		var table []row
		table = append(table, median(func() row { return oursCapacity(t, c, s) }), median(func() row { return oursDrain(t, c, s) }), median(func() row { return oursForecast(t, c, s) }))
		ganeti, cib := ganetiText(s), pacemakerXML(s, "node001")
		if got := strings.Count(ganeti, "|running|"); got != c.guests {
			t.Fatalf("Ganeti is told of %d guests, not of %d", got, c.guests)
		}
		if got := bytes.Count(cib, []byte("<primitive ")); got != c.guests || xml.Unmarshal(cib, new(struct{})) != nil {
			t.Fatalf("Pacemaker is told of %d guests, not of %d", got, c.guests)
		}
		if *rivals {
			table = append(table, theirs(t, c, s, ganeti, cib)...)
		}
		print(table)
	}
}

func print(table []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "cluster\tquestion\tprogram\ttime\tmemory\tanswer")
	for _, r := range table {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d MiB\t%s\n", r.cluster, r.question, r.program, r.took.Round(10*time.Microsecond), r.memory/mib, r.answer)
	}
	w.Flush()
}

// median is the run of median time.
func median(run func() row) row {
	list := make([]row, max(1, *runs))
	for k := range list {
		list[k] = run()
	}
	slices.SortFunc(list, func(a, b row) int { return int(a.took - b.took) })
	return list[len(list)/2]
}

// measured times f and counts what it allocates.
func measured(f func()) (time.Duration, int64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	f()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	return took, int64(after.TotalAlloc - before.TotalAlloc)
}

func oursCapacity(t *testing.T, c size, s ha.Snapshot) row {
	var report forecast.CapacityReport
	took, memory := measured(func() {
		var err error
		if report, err = forecast.Capacity(s, forecast.CapacityOptions{CoreRatio: coreRatio}); err != nil {
			t.Fatal(err)
		}
	})
	infeasible := 0
	for _, l := range report.Losses {
		if l.Could != forecast.Fits {
			infeasible++
		}
	}
	return row{c.String(), "N-1, every node", "psw", took, memory, fmt.Sprintf("%d losses do not fit", infeasible)}
}

func oursDrain(t *testing.T, c size, s ha.Snapshot) row {
	var p ha.Preview
	took, memory := measured(func() { p = planner.PreviewDrain(ha.MaintenanceRequest{Node: "node001"}, s) })
	at, moves := places(s), 0
	for _, step := range p.Steps {
		if step.To != "" {
			at[step.Name] = string(step.To)
			moves++
		}
	}
	fullest, violations := quality(s, at)
	left := 0
	for _, n := range at {
		if n == "node001" {
			left++
		}
	}
	return row{c.String(), "drain one node", "psw", took, memory, drained(moves, left, fullest, violations)}
}

func drained(moves, left int, fullest float64, violations int) string {
	return fmt.Sprintf("%d moves, %d left, fullest node %.1f %%, %d rules broken", moves, left, fullest, violations)
}

func oursForecast(t *testing.T, c size, s ha.Snapshot) row {
	var p forecast.Prediction
	took, memory := measured(func() { p = forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{"node001"}}) })
	at, back := places(s), 0
	for _, o := range p.Targets {
		at[o.Name] = string(o.To)
		if o.Fate == forecast.Restarted {
			back++
		}
	}
	if back == 0 {
		t.Fatal("nobody is restarted")
	}
	fullest, violations := quality(s, at)
	return row{c.String(), "one node dies", "psw (as Proxmox does)", took, memory,
		fmt.Sprintf("%d restarted, fullest node %.1f %%, %d rules broken", back, fullest, violations)}
}

// theirs runs the rivals.
func theirs(t *testing.T, c size, s ha.Snapshot, ganeti string, cib []byte) []row {
	dir := t.TempDir()
	text, moved, xmlFile := filepath.Join(dir, "cluster.data"), filepath.Join(dir, "after"), filepath.Join(dir, "cib.xml")
	for path, content := range map[string][]byte{text: []byte(ganeti), xmlFile: cib} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return []row{
		median(func() row {
			r, out := outside(t, "hcheck", "-t", text, "--no-simulation", "--machine-readable")
			r.cluster, r.question = c.String(), "N-1, every node"
			if m := failing.FindStringSubmatch(out); m != nil {
				r.answer = m[1] + " losses do not fit"
			}
			return r
		}),
		median(func() row {
			r, out := outside(t, "hbal", "-t", text, "-O", "node001", "--evac-mode", "--max-cpu", strconv.Itoa(coreRatio), "-S", moved)
			r.cluster, r.question = c.String(), "drain one node"
			if m := regexp.MustCompile(`Solution length=(\d+)`).FindStringSubmatch(out); m != nil {
				moves, _ := strconv.Atoi(m[1])
				r.answer = ganetiDrained(s, moved+".balanced", moves)
			}
			return r
		}),
		median(func() row {
			r, out := outside(t, "crm_simulate", "-R", "-x", xmlFile)
			r.cluster, r.question = c.String(), "one node dies"
			if r.answer == "" {
				r.answer = pacemakerPlaced(s, out)
			}
			return r
		}),
	}
}

// outside runs a program and measures it.
func outside(t *testing.T, name string, args ...string) (row, string) {
	ctx, cancel := context.WithTimeout(t.Context(), *patience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err := cmd.Run()
	r := row{program: name, took: time.Since(began)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.answer = fmt.Sprintf("none after %s", *patience)
	case err != nil && !errors.As(err, &exit):
		t.Fatalf("cannot run %s: %v; apt-get install ganeti-htools pacemaker-cli-utils glpk-utils", name, err)
	case err != nil && name != "hcheck": // hcheck ends with 1 for an unhealthy cluster
		r.answer = "failed: " + strings.TrimSpace(out.String()[max(0, out.Len()-80):])
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.memory = usage.Maxrss * 1024
	}
	return r, out.String()
}
