package crm

import "errors"

// Timing of the HA stack, in seconds, as constants of pve-ha-manager 5.2.0 give them.
const (
	// MasterRound is the master's round; WaitRound the round of a CRM or LRM that waits.
	MasterRound = 10
	WaitRound   = 5
	// LRMRound is an active LRM's round, MaintenanceRound that of one in maintenance.
	LRMRound         = 10
	MaintenanceRound = 5
	// FenceDelay is how long a node must be gone before its services are fenced.
	FenceDelay = 60
	// LockLifetime is how long a lock is held after its last refresh.
	LockLifetime = 120
	// WatchdogTimeout is how long watchdog-mux waits for a client; the device then resets
	// the node within DeviceTimeout.
	WatchdogTimeout = 60
	DeviceTimeout   = 10
	// GoneAfter is when a removed node's entry is deleted.
	GoneAfter = 3600
	// crmIdleRounds and lrmIdleRounds are after how many empty rounds a daemon gives up
	// its lock and watchdog.
	crmIdleRounds = 90
	lrmIdleRounds = 60
	// lrmRestartGiveUp: an LRM restarted without its lock leaves after this.
	lrmRestartGiveUp = 90
	// DefaultMaxWorkers is how many jobs an LRM runs at once if datacenter.cfg says nothing.
	DefaultMaxWorkers = 4
	// migrateGroupsFirst and migrateGroupsEvery are rounds between tries to turn groups
	// into rules.
	migrateGroupsFirst = 3
	migrateGroupsEvery = 6
)

// Level is a log line's level, as the suite writes it.
type Level string

// The levels.
const (
	Info    Level = "info"
	Notice  Level = "noti"
	Warning Level = "warn"
	Err     Level = "err"
	Mail    Level = "emai" // a notification
)

// Env is the world as the daemons of one node see it. It is an interface because there
// are two real worlds: the virtual one of a story or a prediction (Sim), and the
// simulated cluster behind a REST API, where guests take time and nodes lose power.
//
// An error of a reading or writing method is the cluster filesystem's; daemons survive it
// as the real ones do.
type Env interface {
	// Node is the node's name, Now its clock in seconds.
	Node() string
	Now() int64
	Log(l Level, text string)

	// Quorate tells whether this node is in the quorate partition. Members are all
	// configured nodes by name, Online those this node sees.
	Quorate() bool
	Members() []Member
	// Refresh refreshes the node's picture of the cluster; false skips the round.
	Refresh() bool

	ReadManagerStatus() (ManagerStatus, error)
	WriteManagerStatus(ManagerStatus) error
	ReadLRMStatus(node string) (LRMStatus, error)
	WriteLRMStatus(LRMStatus) error
	// Config is the HA configuration and the guests it speaks of.
	Config() (Config, error)
	// Commands takes the queued CRM commands; HasCommands looks without taking.
	Commands() ([]string, error)
	HasCommands() bool

	// SetRequest changes a service's requested state in the configuration.
	SetRequest(sid, state string) error
	// Steal moves a dead node's guest configuration to another node.
	Steal(sid, from, to string) error
	// Unlock removes a guest's configuration lock and returns it, if its kind may be
	// removed on recovery.
	Unlock(sid string) (lock string)
	// ReplaceGroups writes the rules and resources that groups were turned into, and
	// deletes the groups. Step names what could not be done.
	ReplaceGroups(rules []Rule, services []Service) error

	// LockManager takes or refreshes the manager lock, LockAgent a node's agent lock.
	LockManager() bool
	LockAgent(node string) bool
	ReleaseManager()
	ReleaseAgent()

	// FeedWatchdog opens or feeds the daemon's watchdog ("crm" or "lrm"), CloseWatchdog
	// closes it cleanly. HoldsWatchdog tells whether it is open.
	FeedWatchdog(daemon string)
	CloseWatchdog(daemon string)
	HoldsWatchdog(daemon string) bool

	// Usage returns what the schedulers need: sizes of nodes and guests, and the guests
	// that run though HA does not manage them.
	Usage() Usage
	// Version is a node's pve-manager version; "" if it is not known.
	Version(node string) string

	// Run carries out a job of the LRM. Done is false while it is still at work; it is
	// then asked again with the same job in a later round.
	Run(j Job) (r Result, done bool)
	// Busy is the number of jobs at work on this node.
	Busy() int
	// Running tells whether a guest runs on this node.
	Running(sid string) bool
}

// Member is a node of the cluster and whether it is seen.
type Member struct {
	Node   string
	Online bool
}

// ErrNoAccess is the cluster filesystem's refusal.
var ErrNoAccess = errors.New("cfs connection refused - not mounted?")
