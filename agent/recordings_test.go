package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Recorded machines in known trouble, looked at by the probes and judged: what was wrong
// with them is found, in words that say it. A recording holds only part of a machine, so
// the rest of the verdict is UNKNOWN or not of interest here.
func TestRecordedTroubleIsFound(t *testing.T) {
	for _, tt := range []struct {
		recording string
		code      ha.Code
		status    ha.Status
		says      string
	}{
		{"healthy.pve1", check.CorosyncNotRunning, ha.Pass, "node id 1 of 3 members"},
		{"healthy.pve1", check.NodeNotQuorate, ha.Pass, "3 of 3 votes"},
		{"healthy.pve1", check.CorosyncLinkDown, ha.Pass, "4 links to 2 nodes"},
		{"healthy.pve1", check.CorosyncSingleLink, ha.Pass, "links 0, 1"},
		{"cluster-01-healthy-idle-no-ha.pve1", check.CorosyncSingleLink, ha.Warn, "only link 0"},
		{"link1-down-silent.pve2", check.CorosyncLinkDown, ha.Warn, "link 1 to"},
		{"link0-down-nft.pve3", check.CorosyncLinkDown, ha.Warn, "link 0 to"},
		{"asymmetric-input-drop.pve3", check.NodeNotQuorate, ha.Fail, "1 of 3 votes, quorum is 2"},
		{"minority-isolated-nft.pve3", check.NodeNotQuorate, ha.Fail, "1 of 3 votes, quorum is 2"},
		{"cluster-10-partition-pve1-minority-t050.pve1", check.NodeNotQuorate, ha.Fail, "of 3 votes"},
		{"corosync-stopped.pve3", check.CorosyncNotRunning, ha.Fail, "corosync does not answer"},
		{"corosync-sigstop.pve3", check.CorosyncNotRunning, ha.Unknown, "could not look"},
		{"node-booting.pve2-at-008.6s", check.NodeNotQuorate, ha.Fail, "quorum is 2"},
		{"nfs-healthy.pve1", check.NFSNotAnswering, ha.Pass, "answered"},
		{"nfs-server-dead.pve1", check.NFSNotAnswering, ha.Fail, "does not answer"},
		{"nfs-server-frozen.pve1", check.NFSNotAnswering, ha.Fail, "does not answer"},
		{"nfs-unexported.pve1", check.NFSNotAnswering, ha.Fail, "permission denied"},
		{"busy.pve1", check.WatchdogSeveral, ha.Fail, "watchdog0"},
	} {
		t.Run(tt.recording+"/"+string(tt.code), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("probe", "testdata", "hosts", tt.recording+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			recording, err := probe.ParseRecording(text)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { // commands that hang take virtual time
				findings := check.JudgeNode(probe.Look(t.Context(), recording, recording.Node)).Findings
				k := slices.IndexFunc(findings, func(f ha.Finding) bool { return f.Code == tt.code })
				if f := findings[k]; f.Status != tt.status || !strings.Contains(f.Evidence, tt.says) {
					t.Errorf("%s: %s, want %s with %q", f.Status, f.Evidence, tt.status, tt.says)
				}
			})
		})
	}
}
