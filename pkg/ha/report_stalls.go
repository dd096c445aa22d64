package ha

import "time"

// Stalls is what the processes of a node wait for in the kernel. A node whose storage is
// dead keeps its vote and its quorum, so that the HA manager sees nothing wrong with it: this
// is how it shows.
type Stalls struct {
	// Looked: somebody has looked, and met a process. An older agent does not.
	Looked bool `json:"looked,omitempty"`
	// Watched is for how long they have been watched. Of one look nothing can be said: every
	// process waits for a disk now and then.
	Watched time.Duration `json:"watched,omitempty"`
	// Stuck are those that have waited in the kernel without a moment's interruption, the
	// longest first, StuckMax at most; StuckCount counts all of them.
	Stuck      []StuckProcess `json:"stuck,omitempty"`
	StuckCount int            `json:"stuck_count,omitempty"`
	// PressureKnown: the kernel tells its pressure. Pressure is for what share of the last
	// minute, 0 to 1, everything that had work to do waited for storage (full avg60 of
	// /proc/pressure/io).
	PressureKnown bool    `json:"pressure_known,omitempty"`
	Pressure      float64 `json:"pressure,omitempty"`
}

// StuckMax is how many stuck processes a report names.
const StuckMax = 8

// StuckProcess is a process, or one thread of it, that waits in the kernel and cannot be
// interrupted.
type StuckProcess struct {
	PID int `json:"pid"`
	// Name is the kernel's name for it, SID the guest that it is, if it is one.
	Name string `json:"name"`
	SID  SID    `json:"sid,omitzero"`
	// For is for how long it was seen to wait without having run in between.
	For time.Duration `json:"for"`
}
