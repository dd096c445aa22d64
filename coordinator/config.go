package coordinator

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Config is what a coordinator needs to know. Where the cluster and the state are is not
// in it: New gets them ready-made.
type Config struct {
	// Interval is how long Run waits between two ticks. The HA manager works in rounds of
	// 10 s: looking twice a round is soon enough, and costs Proxmox nine API calls.
	Interval time.Duration
	// SpacingMin is the shortest time between the starts of two ticks, however much there
	// is to react to.
	SpacingMin time.Duration
	// OrderTTL is how long an agent may wait before it begins an order. It is short: an
	// order that is late is planned anew, from what the world looks like then.
	OrderTTL time.Duration
	// ReportsKept is how often the agents' last reports are written down. They serve a
	// restarted coordinator as history only; it acts on none but fresh ones.
	ReportsKept time.Duration
	// Guest is the guest the coordinator runs in: it is drained last. Zero: the project's
	// one bootstrap target, if there is exactly one.
	Guest ha.SID
	// BootstrapHook is the command that deploys the core apps at the end of a bootstrap, an
	// absolute path; empty if there is none. What it is about comes as JSON on its standard
	// input, and it may be run again.
	BootstrapHook string
	// ID tells this start of the coordinator from every other. Empty: a random one, as it
	// should be; a simulation that must repeat itself gives its own.
	ID string
}

const intervalMin = 100 * time.Millisecond

// DefaultConfig returns the values for production.
func DefaultConfig() Config {
	return Config{
		Interval:    5 * time.Second,
		SpacingMin:  time.Second,
		OrderTTL:    15 * time.Second,
		ReportsKept: 10 * time.Second,
	}
}

// Validate names every fault.
func (c Config) Validate() error {
	var faults []error
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Interval < intervalMin || c.Interval > ha.InventoryAgeMax/2 {
		wrong("interval is %s: want %s to %s; less is a burden to Proxmox, more makes the inventory too old to act on",
			c.Interval, intervalMin, ha.InventoryAgeMax/2)
	}
	if c.SpacingMin <= 0 || c.SpacingMin > c.Interval {
		wrong("spacing is %s: want more than 0 and at most the interval", c.SpacingMin)
	}
	if c.OrderTTL < time.Second || c.OrderTTL > time.Minute {
		wrong("order time limit is %s: want 1s to 1m", c.OrderTTL)
	}
	if c.ReportsKept < 0 {
		wrong("time between two writings of the reports is %s: want 0 or more", c.ReportsKept)
	}
	if c.BootstrapHook != "" && !strings.HasPrefix(c.BootstrapHook, "/") {
		wrong("bootstrap hook is %q: want an absolute path", c.BootstrapHook)
	}
	if len(faults) == 0 {
		return nil
	}
	return ha.Errorf(ha.Invalid, "the coordinator's configuration is wrong: %w", errors.Join(faults...))
}
