// Package crm is a model of Proxmox VE's own HA manager (pve-ha-manager 5.2.0): the CRM
// that leads, the LRM on each node, locks, fencing, requests, rules, schedulers,
// maintenance and disarm. Its secret is what that manager will do, and when.
//
// It has two users: the planner, to predict what Proxmox will do, and the simulator, to
// behave like it. It is held to Proxmox's own regression suite: a story of that suite told
// to this model gives the recorded log.
//
// The package is pure: a daemon's round is one synchronous call, time is a value in
// seconds, and all state is in plain values.
package crm
