package check

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what Proxmox answers.
const (
	APINotAnswering ha.Code = "API_NOT_ANSWERING"
	APIIncomplete   ha.Code = "API_INCOMPLETE"
)

var inventoryChecks = []Check{
	{Code: APINotAnswering, Title: "the Proxmox API answers", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle, cluster: apiNotAnswering},
	{Code: APIIncomplete, Title: "the Proxmox API answers in full", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering}, cluster: apiIncomplete},
}

func apiNotAnswering(w *world) []verdict {
	i := w.s.Inventory
	const remedy = "on any node: systemctl status pveproxy pvedaemon; then the address and the token in the coordinator's configuration"
	switch {
	case i.At.IsZero():
		return []verdict{broken(clusterSubject, "it has never answered this coordinator", remedy)}
	case !w.s.InventoryFresh():
		return []verdict{broken(clusterSubject, fmt.Sprintf("its last answer is %s old; nothing is decided on answers older than %s",
			span(w.s.At.Sub(i.At)), span(ha.InventoryAgeMax)), remedy)}
	}
	return []verdict{pass(clusterSubject, "%s answered %s ago, version %s", i.Source, span(w.s.At.Sub(i.At)), i.Version)}
}

func apiIncomplete(w *world) []verdict {
	i := w.s.Inventory
	if !w.s.InventoryFresh() {
		return []verdict{unknown(clusterSubject, "there is no fresh answer to look at")}
	}
	if len(i.Failures) == 0 {
		return []verdict{pass(clusterSubject, "nodes, guests, storages and the HA configuration were read")}
	}
	// Not a violation but a blindness: what could not be read may be right or wrong.
	v := unknown(clusterSubject, "%s", joined(i.Failures))
	v.remedy = "give the coordinator's token the role PVEAuditor on / and look whether every node answers"
	return []verdict{v}
}
