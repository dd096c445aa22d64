package check

import (
	"fmt"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the HA manager as a whole.
const (
	HADisarmed     ha.Code = "HA_DISARMED"
	CRMMasterStale ha.Code = "CRM_MASTER_STALE"
	ShutdownPolicy ha.Code = "SHUTDOWN_POLICY"
	AutoRebalance  ha.Code = "AUTO_REBALANCE"
)

// masterLockLife is how long a master that has stopped keeps the others from leading, and
// masterTakeover how long one of them needs then (pve-ha-manager 5.2.0).
const (
	masterLockLife = 120 * time.Second
	masterTakeover = 20 * time.Second
)

// statusAgeMax is when Proxmox itself calls a CRM or LRM status "old timestamp - dead?"
// (pve-ha-manager 5.2.0, status API).
const statusAgeMax = 30 * time.Second

var managerChecks = []Check{
	{Code: HADisarmed, Title: "HA is armed", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone}, parts: []string{partHA, partArmed}, cluster: haDisarmed},
	{Code: CRMMasterStale, Title: "a CRM leads", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone, QuorumLost}, parts: []string{partHA, partResources}, cluster: crmMasterStale},
	{Code: ShutdownPolicy, Title: "a node that is shut down hands its guests over", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partOptions}, cluster: shutdownPolicy},
	{Code: AutoRebalance, Title: "nothing moves unasked", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partOptions}, cluster: autoRebalance},
}

func haDisarmed(w *world) []verdict {
	h := w.s.Inventory.HA
	switch h.Armed {
	case "disarming", "disarmed":
		return []verdict{broken(clusterSubject, fmt.Sprintf("the HA stack is %s (%s): nothing is restarted or fenced", h.Armed, h.DisarmMode),
			"ha-manager crm-command arm-ha")}
	case "armed", "standby":
		return []verdict{pass(clusterSubject, "%s", h.Armed)}
	case "":
		return []verdict{w.disarmable()}
	}
	return []verdict{unknown(clusterSubject, "the HA manager says %q, which is no word of pve-ha-manager 5.2", h.Armed)}
}

// disarmable judges an HA manager that does not say whether it is armed: one before
// 5.1.3 cannot be disarmed, a later one always says.
func (w *world) disarmable() verdict {
	const firstToTell = "5.1.3"
	for _, name := range w.nodes {
		r, why, ok := w.answered(name, ha.ProbeSystem)
		switch v := r.System.PVEHAVersion; {
		case !ok:
			return unknown(clusterSubject, "the HA manager does not say, and %s", why)
		case v == "" || compareVersion(v, firstToTell) >= 0:
			return unknown(clusterSubject, "the HA manager does not say, but %s has version %q that should", name, v)
		}
	}
	return pass(clusterSubject, "pve-ha-manager before %s is always armed", firstToTell)
}

// crmMasterStale uses the master node's own clock where its agent reports, so that a
// wrong clock elsewhere looks neither fresh nor dead.
func crmMasterStale(w *world) []verdict {
	h := w.s.Inventory.HA
	const remedy = "on every node: systemctl restart pve-ha-crm, then ha-manager status"
	if !w.used() {
		return []verdict{skip(clusterSubject, "there are no HA resources: the CRM may be idle")}
	}
	const waking = "the first HA resource was registered a moment ago: a CRM takes the lead in one of its next rounds"
	if h.Master == "" {
		if w.waking() {
			return []verdict{passing(clusterSubject, waking)}
		}
		return []verdict{broken(clusterSubject, "there are HA resources, but no CRM has become master", remedy)}
	}
	if h.MasterAt.IsZero() {
		return []verdict{unknown(clusterSubject, "%s is master, but does not say when it last worked", h.Master)}
	}
	age := w.s.Inventory.At.Sub(h.MasterAt)
	r, why, ok := w.answered(h.Master, ha.ProbeLRM)
	own := ok && r.HA.Master == h.Master && !r.HA.MasterAt.IsZero()
	if own {
		age = r.Taken.Sub(r.HA.MasterAt)
	}
	// Its own report was made before it last worked, in words of its own clock: it leads since.
	just := ok && !own && !r.Taken.IsZero() && r.Taken.Before(h.MasterAt)
	switch {
	case age > statusAgeMax && w.waking():
		return []verdict{passing(clusterSubject, waking)}
	case age > statusAgeMax:
		return []verdict{broken(clusterSubject, fmt.Sprintf("%s is master, but has not worked for %s; another node takes over 120 s after it stopped", h.Master, span(age)), takeoverRemedy(age, remedy))}
	case just:
		return []verdict{passing(clusterSubject, "%s has just taken the lead", h.Master)}
	case !ok:
		return []verdict{unknown(clusterSubject, "%s is master, but %s", h.Master, why)}
	case !own:
		return []verdict{unknown(clusterSubject, "the API calls %s master, its own /etc/pve does not", h.Master)}
	}
	return []verdict{pass(clusterSubject, "%s, %s ago", h.Master, span(max(age, 0)))}
}

// takeoverRemedy: as long as another node takes over by itself nobody need do anything.
func takeoverRemedy(age time.Duration, remedy string) string {
	left := masterLockLife + masterTakeover - age
	if left <= 0 {
		return remedy
	}
	return fmt.Sprintf("wait %s: then another node leads; if none does, %s", span(left), remedy)
}

func shutdownPolicy(w *world) []verdict {
	switch p := w.s.Inventory.Options.ShutdownPolicy; p {
	case "migrate":
		return []verdict{pass(clusterSubject, "shutdown_policy is migrate")}
	case "":
		return []verdict{unknown(clusterSubject, "the datacenter options were read without a shutdown policy")}
	default:
		return []verdict{broken(clusterSubject, fmt.Sprintf("shutdown_policy is %s: a reboot without maintenance stops or freezes the guests of the node", p),
			"pvesh set /cluster/options --ha shutdown_policy=migrate")}
	}
}

func autoRebalance(w *world) []verdict {
	o := w.s.Inventory.Options
	const remedy = "Datacenter, Options, Cluster Resource Scheduling: switch it off, or know that targets may leave their preferred node"
	switch {
	case o.AutoRebalance:
		return []verdict{broken(clusterSubject, "Proxmox moves HA guests by load on its own (ha-auto-rebalance)", remedy)}
	case o.RebalanceOnStart:
		return []verdict{broken(clusterSubject, "Proxmox chooses the node when an HA guest starts (ha-rebalance-on-start)", remedy)}
	}
	return []verdict{pass(clusterSubject, "no automatic rebalancing")}
}
