// Package metrics shows a coordinator to Prometheus. Its secret is the client library, and
// what the metrics are called: docs/metrics.md is the contract. Values are read when they
// are asked for, from what the coordinator knows anyway; nothing is counted twice.
package metrics

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/pkg/version"
)

// Handler answers GET /metrics out of look, which is called once for each scrape.
func Handler(look func() coordinator.Measures) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{look}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesMax, Timeout: scrapeTimeout}))
	return mux
}

// A scrape reads memory only; more than a few at a time is a mistake somewhere.
const (
	scrapesMax    = 4
	scrapeTimeout = 5 * time.Second
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("psw_ha_"+name, help, labels, nil)
}

// What is shown, in the order of docs/metrics.md.
var (
	buildInfo    = desc("build_info", "The version that runs; always 1.", "version")
	generation   = desc("coordinator_generation", "The coordinator's generation: it is one higher with each start.")
	acting       = desc("coordinator_acting", "1 if nothing keeps the coordinator from acting.")
	ready        = desc("ready", "1 if HA is ready by the profile, as it is published; missing while that is not known.", "profile")
	findings     = desc("findings", "Published findings that are warn, unknown or fail and not muted.", "profile", "code", "status")
	muted        = desc("findings_muted", "Published findings that are muted.", "profile")
	recordTime   = desc("readiness_record_timestamp_seconds", "When the last whole check by the profile was recorded.", "profile")
	recordCounts = desc("readiness_record_valid", "1 if that record says ready and still counts.", "profile")
	ticks        = desc("tick_duration_seconds", "How long looking, deciding and acting took.")
	incomplete   = desc("ticks_incomplete_total", "Ticks that could not do everything.")
	tickTime     = desc("last_tick_timestamp_seconds", "When the last tick ended.")
	inventoryAge = desc("inventory_age_seconds", "Age of what is known from the Proxmox API; missing before the first answer.")
	readFailures = desc("api_read_failures_total", "Readings of the Proxmox API that failed.")
	reportAge    = desc("agent_report_age_seconds", "Age of the agent's newest report.", "node")
	maintenances = desc("maintenances", "Open maintenances by phase.", "phase")
	pending      = desc("orders_pending", "Orders that wait for an agent's answer.")
	given        = desc("orders_given_total", "Orders given to agents.")
	failed       = desc("orders_failed_total", "Orders that were refused, failed or never answered.")
	stateSize    = desc("state_file_bytes", "Size of the state file.")
)

// collector turns Measures into samples.
type collector struct {
	look func() coordinator.Measures
}

func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildInfo, generation, acting, ready, findings, muted, recordTime, recordCounts, ticks, incomplete, tickTime,
		inventoryAge, readFailures, reportAge, maintenances, pending, given, failed, stateSize} {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	m := c.look()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge(buildInfo, 1, version.String())
	gauge(generation, float64(m.Identity.Generation))
	gauge(acting, number(m.Acting))
	for _, p := range m.Profiles {
		if p.Known {
			gauge(ready, number(p.Ready), p.Profile)
		}
		for _, f := range p.Findings {
			gauge(findings, float64(f.Count), p.Profile, string(f.Code), strings.ToLower(string(f.Status)))
		}
		gauge(muted, float64(p.Muted), p.Profile)
		if p.Record != nil {
			gauge(recordTime, seconds(p.Record.At), p.Profile)
			gauge(recordCounts, number(p.Record.Ready && len(p.Stale) == 0), p.Profile)
		}
	}
	out <- prometheus.MustNewConstSummary(ticks, uint64(m.Ticks), m.Ticking.Seconds(), nil)
	counter(incomplete, m.Incomplete)
	if !m.Ticked.IsZero() {
		gauge(tickTime, seconds(m.Ticked))
	}
	if m.InventoryAge >= 0 {
		gauge(inventoryAge, m.InventoryAge.Seconds())
	}
	counter(readFailures, m.ReadFailures)
	for _, r := range m.ReportAges {
		gauge(reportAge, r.Age.Seconds(), string(r.Node))
	}
	for phase, n := range m.Maintenances {
		gauge(maintenances, float64(n), string(phase))
	}
	gauge(pending, float64(m.OrdersPending))
	counter(given, m.OrdersGiven)
	counter(failed, m.OrdersFailed)
	if m.StateBytes >= 0 {
		gauge(stateSize, float64(m.StateBytes))
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
