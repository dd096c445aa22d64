package metrics_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/casaeureka/psw-ha/agent/metrics"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var at = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)

func report() ha.Report {
	return ha.Report{
		Node: "node1", Agent: "1.2.3", Taken: at, Took: 120 * time.Millisecond, Generation: 7,
		System: ha.System{PmxcfsWritable: true},
		Mounts: []ha.Mount{{Source: "nas:/psw", Path: `/mnt/with "quotes" and \`, Answering: true, Total: 1000, Free: 10, Timeouts: 3},
			{Source: "nas:/old", Path: "/mnt/old", Stuck: 95 * time.Second}},
		Watchdog: ha.Watchdog{MuxRunning: true, MuxActive: true, Devices: []ha.WatchdogDevice{{Name: "watchdog0", Identity: "Software Watchdog", State: "active", Timeout: 10 * time.Second}}},
		Corosync: ha.Corosync{Running: true, Quorate: true, Votes: 3, Expected: 3, Links: []ha.Link{{PeerID: 2, Peer: "node2", Connected: true, Latency: 250 * time.Microsecond}, {PeerID: 3, Number: 1}}},
		HA:       ha.LocalHA{LRMRunning: true, LRMAt: at.Add(-4 * time.Second), LRMState: "active", LRMMode: "active"},
		Running:  []ha.LocalGuest{{SID: ha.MustSID("vm:101")}},
	}
}

var took = map[string]time.Duration{ha.ProbeNFS: 80 * time.Millisecond, ha.ProbeCorosync: 110 * time.Millisecond}

// The names and units are as Prometheus advises, every one is in the docs, and its own
// parser reads the page.
func TestPage(t *testing.T) {
	text := string(metrics.Page(report(), took, at))
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v\n%s", err, text)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, line := range []string{
		`psw_ha_agent_build_info{version="1.2.3"} 1`,
		`psw_ha_agent_generation 7`,
		`psw_ha_agent_look_duration_seconds 0.12`,
		`psw_ha_probe_success{probe="nfs"} 1`,
		`psw_ha_probe_duration_seconds{probe="corosync"} 0.11`,
		`psw_ha_nfs_mount_answering{path="/mnt/with \"quotes\" and \\",source="nas:/psw"} 1`,
		`psw_ha_nfs_mount_stuck_seconds{path="/mnt/old",source="nas:/old"} 95`,
		`psw_ha_nfs_mount_major_timeouts_total{path="/mnt/old",source="nas:/old"} 0`,
		`psw_ha_watchdog_armed 1`,
		`psw_ha_watchdog_device_info{device="watchdog0",identity="Software Watchdog",state="active"} 1`,
		`psw_ha_corosync_link_connected{link="1",peer="3"} 0`,
		`psw_ha_corosync_link_latency_seconds{link="0",peer="node2"} 0.00025`,
		`psw_ha_lrm_status_age_seconds 4`,
		`psw_ha_guests_running 1`,
		`psw_ha_pmxcfs_writable 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("not on the page: %s", line)
		}
	}
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			if !bytes.Contains(docs, []byte("`"+name+"`")) {
				t.Errorf("docs/metrics.md does not describe %s", name)
			}
		}
	}
}

// What a probe could not look at is missing, and that it could not is told.
func TestUnknownIsMissing(t *testing.T) {
	r := report()
	r.Failures = []ha.ProbeFailure{{Probe: ha.ProbeNFS, Reason: "hangs"}, {Probe: ha.ProbeLRM}, {Probe: ha.ProbeWatchdog}, {Probe: ha.ProbeCorosync}, {Probe: ha.ProbeGuests}}
	text := string(metrics.Page(r, took, at))
	for _, head := range []string{"nfs_", "lrm_", "watchdog_", "corosync_", "guests_"} {
		if strings.Contains(text, "\npsw_ha_"+head) {
			t.Errorf("psw_ha_%s… is told though nobody could look:\n%s", head, text)
		}
	}
	if !strings.Contains(text, `psw_ha_probe_success{probe="nfs"} 0`) {
		t.Errorf("that the probe could not look is not told:\n%s", text)
	}
}
