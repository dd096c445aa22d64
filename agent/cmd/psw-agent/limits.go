package main

import (
	"runtime"
	"runtime/debug"
)

// What the agent may take of a hypervisor. Guests come first: it needs a few megabytes and
// a few milliseconds every five seconds, however large the machine is.
const (
	// memoryLimit is when the garbage collector begins to work harder. It is no hard limit.
	memoryLimit = 16 << 20
	// garbagePercent trades a little CPU for a heap that stays near what is in use.
	garbagePercent = 50
	// processors: nothing here is worth a second one. Each would have caches of its own, and
	// whenever one has work the runtime wakes another to look for more, which then finds none.
	// A call that blocks in the kernel holds up nobody: the runtime takes the processor from it.
	processors = 1
)

// limitResources sets the limits that the environment leaves open.
func limitResources(env map[string]string) {
	if env["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if env["GOGC"] == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if env["GOMAXPROCS"] == "" {
		runtime.GOMAXPROCS(processors)
	}
}
