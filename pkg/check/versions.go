package check

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what is installed.
const (
	PVENotInstalled     ha.Code = "PVE_NOT_INSTALLED"
	PVEVersionDiffers   ha.Code = "PVE_VERSION_DIFFERS"
	PVEHAVersionDiffers ha.Code = "PVE_HA_VERSION_DIFFERS"
)

// nodeCauses are what explains every violation on a node, seen by its own agent.
var nodeCauses = []ha.Code{NodeNotMember, NodeOffline, AgentSilent, PVENotInstalled}

var versionChecks = []Check{
	{Code: PVENotInstalled, Title: "Proxmox VE is installed", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{NodeNotMember, NodeOffline, AgentSilent}, probes: []string{ha.ProbeSystem}, node: pveNotInstalled},
	{Code: PVEVersionDiffers, Title: "all nodes have the newest pve-manager among them", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: nodeCauses, cluster: pveVersionDiffers},
	{Code: PVEHAVersionDiffers, Title: "all nodes have the newest pve-ha-manager among them", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: nodeCauses, cluster: pveHAVersionDiffers},
}

func pveNotInstalled(n node) verdict {
	if n.System.PVEVersion == "" || n.System.PVEHAVersion == "" {
		missing := "pve-manager"
		if n.System.PVEVersion != "" {
			missing = "pve-ha-manager"
		}
		return broken("", missing+" is not installed: this machine is no Proxmox VE node", "install Proxmox VE 9, or run psw-agent on a node of the cluster")
	}
	return pass("", "pve-manager %s, pve-ha-manager %s", n.System.PVEVersion, n.System.PVEHAVersion)
}

func pveVersionDiffers(w *world) []verdict {
	return w.compareVersions("pve-manager", systemVersion(func(s ha.System) string { return s.PVEVersion }), upgrade)
}

func pveHAVersionDiffers(w *world) []verdict {
	return w.compareVersions("pve-ha-manager", systemVersion(func(s ha.System) string { return s.PVEHAVersion }), upgrade)
}

func upgrade(name ha.NodeName) string {
	return fmt.Sprintf("psw -C DIR maintenance start %s; there: apt update && apt full-upgrade; then maintenance end %s", name, name)
}

func systemVersion(of func(ha.System) string) func(ha.Report) (version, why string) {
	return func(r ha.Report) (string, string) {
		if reason, failed := r.Failed(ha.ProbeSystem); failed {
			return "", "the system probe could not look: " + reason
		}
		return of(r.System), ""
	}
}

// compareVersion orders versions by their runs of digits as numbers and the rest as
// text, which is enough for the versions of one package. Debian's tilde comes before
// everything, even before the end: 9.0.0~2 is older than 9.0.0.
func compareVersion(a, b string) int {
	const tilde = "\x00"
	a, b = strings.ReplaceAll(a, "~", tilde), strings.ReplaceAll(b, "~", tilde)
	for a != "" && b != "" {
		var na, nb string
		na, a = run(a)
		nb, b = run(b)
		va, errA := strconv.ParseUint(na, 10, 64)
		vb, errB := strconv.ParseUint(nb, 10, 64)
		c := cmp.Compare(na, nb)
		if errA == nil && errB == nil {
			c = cmp.Compare(va, vb)
		}
		if c != 0 {
			return c
		}
	}
	switch {
	case strings.HasPrefix(a, tilde):
		return -1
	case strings.HasPrefix(b, tilde):
		return 1
	}
	return cmp.Compare(len(a), len(b))
}

// run cuts the first run of digits, or of anything else, off s.
func run(s string) (first, rest string) {
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	k := 1
	for k < len(s) && isDigit(s[k]) == isDigit(s[0]) {
		k++
	}
	return s[:k], s[k:]
}
