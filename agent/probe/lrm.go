package probe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookLRM reads the HA stack on this node: its daemons, and what they wrote to pmxcfs. A
// status file that does not exist was never written, which is a fact; without pmxcfs it
// is not.
func lookLRM(_ context.Context, r *round) (facts, error) {
	var l ha.LocalHA
	var missing faults
	lrm, err := r.pidOf(nameLRM)
	crm, crmErr := r.pidOf(nameCRM)
	missing.add("daemons", cmp.Or(err, crmErr))
	l.LRMRunning, l.CRMRunning = lrm != 0, crm != 0
	if err := needPmxcfs(r.host); err != nil {
		missing = append(missing, err)
	} else {
		status, err := optional(r.host, "etc/pve/nodes/"+string(r.node)+"/lrm_status")
		if err == nil {
			err = parseLRMStatus(status, &l)
		}
		missing.add("lrm_status", bare(err))
		r.jobsFailed.Store(len(l.Failed) > 0)
		status, err = optional(r.host, "etc/pve/ha/manager_status")
		if err == nil {
			err = parseManagerStatus(status, r.node, &l)
		}
		missing.add("manager_status", bare(err))
		missing.add("crm_commands", bare(readCommands(r.host, &l)))
	}
	return func(report *ha.Report) { report.HA = l }, missing.err()
}

// parseLRMStatus reads nodes/NODE/lrm_status.
func parseLRMStatus(data []byte, l *ha.LocalHA) error {
	var status struct {
		State     string `json:"state"`
		Mode      string `json:"mode"`
		Timestamp number `json:"timestamp"`
		Results   map[string]struct {
			SID      string `json:"sid"`
			State    string `json:"state"`
			ExitCode number `json:"exit_code"`
		} `json:"results"`
	}
	if err := decode(data, &status); err != nil {
		return err
	}
	l.LRMState, l.LRMMode, l.LRMAt = status.State, status.Mode, status.Timestamp.time()
	for _, job := range status.Results {
		if job.ExitCode == 0 {
			continue
		}
		sid, err := ha.ParseSID(job.SID)
		if err != nil {
			return err
		}
		l.Failed = append(l.Failed, ha.LRMResult{SID: sid, State: job.State, ExitCode: int(job.ExitCode)})
	}
	return nil
}

// readCommands counts what waits for the CRM's master in ha/crm_commands, one command a line.
func readCommands(h Host, l *ha.LocalHA) error {
	data, err := optional(h, crmCommands)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if len(bytes.TrimSpace(line)) > 0 {
			l.Commands++
		}
	}
	if l.Commands == 0 {
		return nil
	}
	f, err := h.Open(crmCommands)
	if gone(err) { // the master has just taken them
		l.Commands = 0
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && !info.ModTime().IsZero() {
		l.CommandsAt = info.ModTime().UTC()
	}
	return err
}

const crmCommands = "etc/pve/ha/crm_commands"

// parseManagerStatus reads ha/manager_status. After a maintenance has ended, node_request
// keeps an empty object for the node.
func parseManagerStatus(data []byte, node ha.NodeName, l *ha.LocalHA) error {
	var status struct {
		Master      ha.NodeName            `json:"master_node"`
		Timestamp   number                 `json:"timestamp"`
		NodeStatus  map[ha.NodeName]string `json:"node_status"`
		NodeRequest map[ha.NodeName]struct {
			Maintenance number `json:"maintenance"`
		} `json:"node_request"`
		Disarm struct {
			State string `json:"state"`
			Mode  string `json:"mode"`
		} `json:"disarm"`
	}
	if err := decode(data, &status); err != nil {
		return err
	}
	l.Master, l.MasterAt = status.Master, status.Timestamp.time()
	l.NodeState = status.NodeStatus[node]
	l.Disarm, l.DisarmMode = status.Disarm.State, status.Disarm.Mode
	l.MaintenanceRequested = status.NodeRequest[node].Maintenance != 0
	return nil
}

// decode reads a JSON file that may be absent, but not empty: pmxcfs replaces status files
// in one step, so that an empty one was never written by the HA manager.
func decode(data []byte, v any) error {
	if data == nil {
		return nil
	}
	return json.Unmarshal(data, v)
}

// number is a number that Perl may have written as a string.
type number int64

func (n *number) UnmarshalJSON(data []byte) error {
	text := string(bytes.Trim(data, `"`))
	if text == "" || text == "null" || text == "false" {
		*n = 0
		return nil
	}
	if text == "true" {
		*n = 1
		return nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("not a number: %.40q", data)
	}
	*n = number(v)
	return nil
}

// time reads the number as seconds since 1970; none is the zero time. Anything beyond the
// year 9999 is none of the HA manager's.
func (n number) time() time.Time {
	const lastSecond = 253402300799
	if n <= 0 || n > lastSecond {
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}
