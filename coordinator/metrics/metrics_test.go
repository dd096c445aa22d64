package metrics_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/metrics"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func measures() coordinator.Measures {
	at := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	return coordinator.Measures{
		At: at, Identity: ha.Identity{Generation: 7}, Acting: true,
		Profiles: []coordinator.ProfileMeasures{
			{Standing: ha.Standing{Profile: "minimum", Known: true, Record: &ha.ReadinessRecord{Ready: true, At: at}, Stale: []string{"storage psw changed"}},
				Findings: []coordinator.FindingCount{{Code: "NFS_NOT_ANSWERING", Status: ha.Fail, Count: 2}}, Muted: 1},
			{Standing: ha.Standing{Profile: "production"}},
		},
		Ticks: 4, Ticking: 3 * time.Second, Ticked: at, Incomplete: 1, InventoryAge: 2 * time.Second, ReadFailures: 5,
		ReportAges: []coordinator.NodeAge{{Node: "node1", Age: 1500 * time.Millisecond}}, Maintenances: map[ha.Phase]int{ha.Draining: 1},
		OrdersPending: 1, OrdersGiven: 9, OrdersFailed: 2, StateBytes: 65536,
	}
}

func scrape(t *testing.T, m coordinator.Measures) string {
	t.Helper()
	answer := httptest.NewRecorder()
	metrics.Handler(func() coordinator.Measures { return m }).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("the scrape is answered with %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// The names and units are as Prometheus advises, and every one is in the docs.
func TestScrape(t *testing.T) {
	text := scrape(t, measures())
	problems, err := promlint.New(bytes.NewBufferString(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, line := range []string{
		`psw_ha_coordinator_generation 7`,
		`psw_ha_coordinator_acting 1`,
		`psw_ha_ready{profile="minimum"} 0`,
		`psw_ha_findings{code="NFS_NOT_ANSWERING",profile="minimum",status="fail"} 2`,
		`psw_ha_findings_muted{profile="minimum"} 1`,
		`psw_ha_readiness_record_valid{profile="minimum"} 0`,
		`psw_ha_tick_duration_seconds_sum 3`,
		`psw_ha_tick_duration_seconds_count 4`,
		`psw_ha_ticks_incomplete_total 1`,
		`psw_ha_inventory_age_seconds 2`,
		`psw_ha_api_read_failures_total 5`,
		`psw_ha_agent_report_age_seconds{node="node1"} 1.5`,
		`psw_ha_maintenances{phase="draining"} 1`,
		`psw_ha_orders_pending 1`,
		`psw_ha_orders_given_total 9`,
		`psw_ha_orders_failed_total 2`,
		`psw_ha_state_file_bytes 65536`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("not in the scrape: %s", line)
		}
	}
	docs, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE psw_ha_"); ok {
			name, _, _ = strings.Cut(name, " ")
			if !bytes.Contains(docs, []byte("`psw_ha_"+name+"`")) {
				t.Errorf("docs/metrics.md does not describe psw_ha_%s", name)
			}
		}
	}
}

// What is not known is missing: a zero would be a statement.
func TestUnknownIsMissing(t *testing.T) {
	m := measures()
	m.InventoryAge, m.StateBytes, m.Ticked = -1, -1, time.Time{}
	text := scrape(t, m)
	for _, name := range []string{`psw_ha_ready{profile="production"}`, "psw_ha_inventory_age_seconds ", "psw_ha_state_file_bytes ", "psw_ha_last_tick_timestamp_seconds ",
		`psw_ha_readiness_record_valid{profile="production"}`} {
		if strings.Contains(text, "\n"+name) {
			t.Errorf("%s is told though it is not known", name)
		}
	}
}
