// Package metrics writes what an agent saw last for Prometheus. Its secret is the text
// format, written by hand: every figure is a gauge made from one report, and a library that
// counts and registers would cost each node a megabyte (docs/decisions/0010). The names are
// a contract: docs/metrics.md.
package metrics

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// ContentType is the format's name.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Page is what a scrape at that time is answered with, of the last report and how long each
// probe took. What a probe could not look at is missing: a zero would be a statement.
func Page(r ha.Report, took map[string]time.Duration, at time.Time) []byte {
	var p page
	p.gauge("agent_build_info", "The version that runs; always 1.", sample{1, labels("version", r.Agent)})
	p.gauge("agent_generation", "The newest coordinator's generation that the agent has accepted.", sample{v: float64(r.Generation)})
	p.gauge("agent_look_timestamp_seconds", "When the last round of probes began.", sample{v: float64(r.Taken.UnixMilli()) / 1000})
	p.gauge("agent_look_duration_seconds", "How long the last round of probes took.", sample{v: r.Took.Seconds()})
	p.probes(r, took)
	if _, failed := r.Failed(ha.ProbeNFS); !failed {
		p.mounts(r.Mounts)
	}
	if _, failed := r.Failed(ha.ProbeWatchdog); !failed {
		p.watchdog(r.Watchdog)
	}
	if _, failed := r.Failed(ha.ProbeCorosync); !failed {
		p.corosync(r.Corosync)
	}
	if _, failed := r.Failed(ha.ProbeLRM); !failed {
		p.manager(r.HA, at)
	}
	if _, failed := r.Failed(ha.ProbePmxcfs); !failed {
		p.gauge("pmxcfs_writable", "1 if /etc/pve may be written, which needs quorum.", sample{v: number(r.System.PmxcfsWritable)})
	}
	if _, failed := r.Failed(ha.ProbeGuests); !failed {
		p.gauge("guests_running", "Guests with a process on this node.", sample{v: float64(len(r.Running))})
	}
	return p.Bytes()
}

func (p *page) probes(r ha.Report, took map[string]time.Duration) {
	var success, duration []sample
	for _, name := range slices.Sorted(maps.Keys(took)) {
		_, failed := r.Failed(name)
		success = append(success, sample{number(!failed), labels("probe", name)})
		duration = append(duration, sample{took[name].Seconds(), labels("probe", name)})
	}
	p.gauge("probe_success", "1 if the probe could look.", success...)
	p.gauge("probe_duration_seconds", "How long the probe took when it last came back.", duration...)
}

func (p *page) mounts(list []ha.Mount) {
	var answering, stuck, size, free, timeouts []sample
	for _, m := range list {
		l := labels("path", m.Path, "source", m.Source)
		answering = append(answering, sample{number(m.Answering), l})
		stuck = append(stuck, sample{m.Stuck.Seconds(), l})
		timeouts = append(timeouts, sample{float64(m.Timeouts), l})
		if m.Total > 0 {
			size, free = append(size, sample{float64(m.Total), l}), append(free, sample{float64(m.Free), l})
		}
	}
	p.gauge("nfs_mount_answering", "1 if statfs came back in time.", answering...)
	p.gauge("nfs_mount_stuck_seconds", "For how long a statfs has been hanging; 0 if none is.", stuck...)
	p.gauge("nfs_mount_size_bytes", "Size of the mount.", size...)
	p.gauge("nfs_mount_free_bytes", "Free space of the mount.", free...)
	p.counter("nfs_mount_major_timeouts_total", "Major timeouts since the mount was made.", timeouts...)
}

func (p *page) watchdog(w ha.Watchdog) {
	var info, timeout []sample
	for _, d := range w.Devices {
		info = append(info, sample{1, labels("device", d.Name, "identity", d.Identity, "state", d.State)})
		timeout = append(timeout, sample{d.Timeout.Seconds(), labels("device", d.Name)})
	}
	p.gauge("watchdog_mux_running", "1 if watchdog-mux runs.", sample{v: number(w.MuxRunning)})
	p.gauge("watchdog_armed", "1 if an HA daemon holds the watchdog: the node would be reset.", sample{v: number(w.MuxActive)})
	p.gauge("watchdog_device_info", "The watchdog devices there are; always 1.", info...)
	p.gauge("watchdog_timeout_seconds", "The device's timeout.", timeout...)
}

func (p *page) corosync(c ha.Corosync) {
	p.gauge("corosync_running", "1 if corosync answers.", sample{v: number(c.Running)})
	if !c.Running {
		return
	}
	p.gauge("corosync_quorate", "1 if this node's partition has quorum.", sample{v: number(c.Quorate)})
	p.gauge("corosync_votes", "Votes there are.", sample{v: float64(c.Votes)})
	p.gauge("corosync_expected_votes", "Votes there should be.", sample{v: float64(c.Expected)})
	var connected, latency []sample
	for _, l := range c.Links {
		peer := string(l.Peer)
		if peer == "" {
			peer = strconv.Itoa(l.PeerID)
		}
		who := labels("link", strconv.Itoa(l.Number), "peer", peer)
		connected = append(connected, sample{number(l.Connected), who})
		if l.Latency > 0 {
			latency = append(latency, sample{l.Latency.Seconds(), who})
		}
	}
	p.gauge("corosync_link_connected", "1 if packets come back over the link.", connected...)
	p.gauge("corosync_link_latency_seconds", "Average latency of the link.", latency...)
}

func (p *page) manager(h ha.LocalHA, at time.Time) {
	p.gauge("lrm_running", "1 if pve-ha-lrm runs.", sample{v: number(h.LRMRunning)})
	p.gauge("crm_running", "1 if pve-ha-crm runs.", sample{v: number(h.CRMRunning)})
	if !h.LRMAt.IsZero() {
		p.gauge("lrm_status_age_seconds", "Age of what pve-ha-lrm last wrote of itself.", sample{v: at.Sub(h.LRMAt).Seconds()})
	}
	p.gauge("lrm_state_info", "The state of pve-ha-lrm; always 1.", sample{1, labels("mode", h.LRMMode, "state", h.LRMState)})
}

// page is text in the exposition format.
type page struct{ bytes.Buffer }

// sample is one value with its labels, as they are written.
type sample struct {
	v      float64
	labels string
}

func (p *page) gauge(name, help string, samples ...sample) { p.write(name, "gauge", help, samples) }

func (p *page) counter(name, help string, samples ...sample) {
	p.write(name, "counter", help, samples)
}

// write writes a metric; one without samples is left out.
func (p *page) write(name, kind, help string, samples []sample) {
	if len(samples) == 0 {
		return
	}
	fmt.Fprintf(p, "# HELP psw_ha_%s %s\n# TYPE psw_ha_%s %s\n", name, help, name, kind)
	for _, s := range samples {
		fmt.Fprintf(p, "psw_ha_%s%s %s\n", name, s.labels, strconv.FormatFloat(s.v, 'g', -1, 64))
	}
}

// escaper writes a label's value: a path may hold anything.
var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// labels writes names and values in turn.
func labels(pairs ...string) string {
	parts := make([]string, 0, len(pairs)/2)
	for k := 0; k+1 < len(pairs); k += 2 {
		parts = append(parts, pairs[k]+`="`+escaper.Replace(strings.ToValidUTF8(pairs[k+1], "\uFFFD"))+`"`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
