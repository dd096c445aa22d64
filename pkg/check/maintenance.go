package check

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on maintenance.
const (
	MaintenanceOpen    ha.Code = "MAINTENANCE_OPEN"
	MaintenanceForeign ha.Code = "MAINTENANCE_FOREIGN"
)

var maintenanceChecks = []Check{
	{Code: MaintenanceOpen, Title: "no maintenance is open", Minimum: ha.Notice, Production: ha.Notice, cluster: maintenanceOpen},
	{Code: MaintenanceForeign, Title: "maintenance mode is psw's own", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone}, parts: []string{partHA, partNodes}, cluster: maintenanceForeign},
}

func maintenanceOpen(w *world) []verdict {
	var list []verdict
	for _, m := range w.s.Maintenances {
		if m.Phase.Closed() {
			continue
		}
		list = append(list, broken(string(m.Node), fmt.Sprintf("%s since %s, by %s: its guests run elsewhere, with less room for another loss",
			m.Phase, span(w.s.At.Sub(m.RequestedAt)), orSomebody(m.By)), fmt.Sprintf("psw -C DIR maintenance end %s, when the work is done", m.Node)))
	}
	if list == nil {
		return []verdict{pass(clusterSubject, "none")}
	}
	return list
}

func orSomebody(by string) string {
	if by == "" {
		return "somebody"
	}
	return by
}

// maintenanceForeign finds nodes that somebody put into maintenance mode with
// ha-manager: nobody but that somebody will bring them back.
func maintenanceForeign(w *world) []verdict {
	var list []verdict
	for _, n := range w.s.Inventory.HA.Nodes {
		_, ours := w.s.OpenMaintenance(n.Name)
		if (n.MaintenanceRequested || n.State == ha.NodeMaintenance) && !ours {
			list = append(list, broken(string(n.Name), "it is in maintenance mode, and not by psw: it takes no HA guest",
				fmt.Sprintf("psw -C DIR maintenance start %s adopts it, psw -C DIR maintenance end %s ends it; as whoever began it: ha-manager crm-command node-maintenance disable %s",
					n.Name, n.Name, n.Name)))
		}
	}
	if list == nil {
		return []verdict{pass(clusterSubject, "no node is in maintenance mode without psw")}
	}
	return list
}
