package version

import (
	"runtime/debug"
	"testing"
)

func TestStampWinsOverBuildInformation(t *testing.T) {
	installed := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}
	local := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	for _, tt := range []struct {
		name    string
		stamped string
		info    *debug.BuildInfo
		want    string
	}{
		{"make build", "v1.2.3-4-gabcdef", local, "v1.2.3-4-gabcdef"},
		{"stamped and installed", "v9", installed, "v9"},
		{"go install", "", installed, "v1.2.3"},
		{"go build", "", local, "devel"},
		{"no build information", "", nil, "devel"},
		{"empty version", "", &debug.BuildInfo{}, "devel"},
	} {
		if got := pick(tt.stamped, tt.info); got != tt.want {
			t.Errorf("%s: version %q, want %q", tt.name, got, tt.want)
		}
	}
	if String() == "" {
		t.Error("the version is empty")
	}
}
