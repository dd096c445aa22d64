// Package version says which version of psw-ha a binary is. Its secret is where that is
// written down: `make build` stamps it from git, `go install MODULE@v…` leaves it in the
// build information, and a plain `go build` says nothing at all.
package version

import "runtime/debug"

// stamped is set by the linker: -X github.com/casaeureka/psw-ha/pkg/version.stamped=v1.2.3.
var stamped string

// String returns the version: the stamped one, else the module version the binary was
// installed as, else "devel". It is never empty.
func String() string {
	info, _ := debug.ReadBuildInfo()
	return pick(stamped, info)
}

func pick(stamped string, info *debug.BuildInfo) string {
	switch {
	case stamped != "":
		return stamped
	case info != nil && info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	default:
		return "devel"
	}
}
