package crm

import (
	"maps"
	"slices"
)

// States of a node in manager_status.
const (
	NodeOnline      = "online"
	NodeMaintenance = "maintenance"
	NodeUnknown     = "unknown"
	NodeFence       = "fence"
	NodeGone        = "gone"
)

// States of a service in manager_status.
const (
	RequestStart        = "request_start"
	RequestStartBalance = "request_start_balance"
	Started             = "started"
	RequestStop         = "request_stop"
	Stopped             = "stopped"
	Migrate             = "migrate"
	Relocate            = "relocate"
	Fence               = "fence"
	Recovery            = "recovery"
	Freeze              = "freeze"
	ErrorState          = "error"
)

// Requested states of a service.
const (
	WantStarted  = "started"
	WantStopped  = "stopped"
	WantDisabled = "disabled"
	WantIgnored  = "ignored"
)

// Modes of an LRM.
const (
	ModeActive      = "active"
	ModeMaintenance = "maintenance"
	ModeDisarm      = "disarm"
	ModeRestart     = "restart"
	ModeShutdown    = "shutdown"
	ModeUnknown     = "unknown"
)

// Config is the HA configuration as one reading finds it.
type Config struct {
	// Services are the configured services that exist, by SID.
	Services []Service
	Rules    []Rule
	Groups   []Group
	// RulesDigest changes when Rules change; ServicesDigest when Services do, or is empty.
	RulesDigest    string
	GroupsDigest   string
	ServicesDigest string
	Datacenter     Datacenter
}

// Service is a configured service.
type Service struct {
	SID string
	// Node is where its guest's configuration lies.
	Node string
	// State is what is requested: started, stopped, disabled, ignored.
	State       string
	MaxRestart  int
	MaxRelocate int
	Failback    bool
	Group       string
}

// Kind is the part of the SID before the colon.
func (s Service) Kind() string { return kindOf(s.SID) }

func kindOf(sid string) string {
	for k := range sid {
		if sid[k] == ':' {
			return sid[:k]
		}
	}
	return sid
}

// Datacenter are the options of datacenter.cfg the HA stack reads.
type Datacenter struct {
	// ShutdownPolicy is conditional, freeze, failover or migrate.
	ShutdownPolicy string
	// Scheduler is basic, static or dynamic.
	Scheduler        string
	RebalanceOnStart bool
	AutoRebalance    bool
	// Threshold and Margin are fractions; Hold is in rounds; Method is bruteforce or topsis.
	Threshold, Margin float64
	Hold              int
	Method            string
	MaxWorkers        int
}

// ManagerStatus is /etc/pve/ha/manager_status.
type ManagerStatus struct {
	Master    string
	Timestamp int64
	Nodes     map[string]string
	Services  map[string]ServiceStatus
	// Requests tells of each node ever asked into maintenance whether it still is.
	Requests map[string]bool
	Disarm   *Disarm

	index *statusIndex // of a clone, which nobody changes
}

// statusIndex finds services by node, so that each LRM need not look at all of them.
type statusIndex struct {
	on map[string][]string
}

// on returns the SIDs of the services whose node or target is node, sorted.
func (m ManagerStatus) on(node string) []string {
	if m.index == nil {
		m.index = &statusIndex{}
	}
	if m.index.on == nil {
		m.index.on = make(map[string][]string, len(m.Nodes))
		for sid, s := range m.Services {
			m.index.on[s.Node] = append(m.index.on[s.Node], sid)
			if s.Target != "" && s.Target != s.Node {
				m.index.on[s.Target] = append(m.index.on[s.Target], sid)
			}
		}
		for _, sids := range m.index.on {
			slices.Sort(sids)
		}
	}
	return m.index.on[node]
}

// Disarm is the record of a disarmed stack.
type Disarm struct {
	Mode  string // freeze or ignore
	State string // disarming or disarmed
}

// ServiceStatus is the runtime record of a service.
type ServiceStatus struct {
	Node  string
	State string
	UID   string
	// Running: the LRM confirmed that it runs.
	Running bool
	Target  string
	// Timeout of a requested stop; negative if none was given.
	Timeout int
	HasTime bool
	// Command is a queued request: migrate, relocate or stop with its argument.
	Command     *Command
	FailedNodes []string
	// MaintenanceNode is where it returns to after maintenance.
	MaintenanceNode string
}

// Command is a request for one service.
type Command struct {
	Verb    string // migrate, relocate, stop
	Node    string
	Timeout int
}

// Clone returns a copy that shares nothing. Whoever is handed a status clones it before
// changing it.
func (m ManagerStatus) Clone() ManagerStatus {
	m.index = &statusIndex{}
	m.Nodes = maps.Clone(m.Nodes)
	m.Requests = maps.Clone(m.Requests)
	services := make(map[string]ServiceStatus, len(m.Services))
	for sid, s := range m.Services {
		services[sid] = s.clone()
	}
	m.Services = services
	if m.Disarm != nil {
		d := *m.Disarm
		m.Disarm = &d
	}
	return m
}

// Active counts the services that keep a node's LRM busy: they are there or on their way
// there, and neither stopped, frozen, in error nor waiting to be started.
func (m ManagerStatus) Active(node string) int { return activeOn(m, node) }

func (s ServiceStatus) clone() ServiceStatus {
	s.FailedNodes = slices.Clone(s.FailedNodes)
	if s.Command != nil {
		c := *s.Command
		s.Command = &c
	}
	return s
}

// LRMStatus is /etc/pve/nodes/NODE/lrm_status.
type LRMStatus struct {
	State     string
	Mode      string
	Timestamp int64
	Results   map[string]Result // by UID
	// Known is false if the file does not exist.
	Known bool
}

// Result is the outcome of a job.
type Result struct {
	SID   string
	State string
	Code  int
}

// Exit codes of an LRM's job.
const (
	ExitOK             = 0
	ExitError          = 1
	ExitAgain          = 2
	ExitWrongNode      = 3
	ExitUnknownType    = 4
	ExitUnknownCommand = 5
	ExitInvalid        = 6
	ExitUnknownService = 7
	ExitIgnored        = 8
	ExitCrashed        = 255
)

// Job is something an LRM has to do.
type Job struct {
	SID    string
	UID    string // empty for the stop jobs of a shutdown
	Verb   string // the CRM state it comes from
	Target string
	// Timeout of a stop in seconds; negative: the default.
	Timeout int
	// Tries counts the starts so far.
	Tries int
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
