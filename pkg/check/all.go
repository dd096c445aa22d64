package check

import "slices"

// All is every check in the order they are judged and printed: causes before effects,
// from the ground up. A check's place is what its DependsOn allows.
var All = slices.Concat(
	projectChecks,
	inventoryChecks,
	membershipChecks,
	agentChecks,
	splitBrainChecks,
	versionChecks,
	corosyncChecks,
	quorumChecks,
	linkChecks,
	pmxcfsChecks,
	watchdogChecks,
	managerChecks,
	lrmChecks,
	nfsChecks,
	storageChecks,
	guestChecks,
	registrationChecks,
	ruleChecks,
	driftChecks,
	capacityChecks,
	maintenanceChecks,
)
