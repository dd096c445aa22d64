package pvesim

import (
	"slices"
	"strings"
)

// What a PVE 8 does not have of a 9. Its own schema is the 9's without these.

// since9 are the parameters that PVE 8 does not know, by call.
var since9 = map[string][]string{
	"POST /cluster/ha/resources":         {"failback"},
	"PUT /cluster/ha/resources/{sid}":    {"failback"},
	"DELETE /cluster/ha/resources/{sid}": {"purge"},
}

// haManager is the version of pve-ha-manager that comes with the node's release.
func (n *node) haManager() string {
	if n.major() >= 9 {
		return "5.2.0"
	}
	return "4.0.7"
}

// serves reports whether the node's release has such a call at all.
func (n *node) serves(path string) bool {
	return n.major() >= 9 || !strings.HasPrefix(path, "/cluster/ha/rules") && !slices.Contains([]string{"/cluster/ha/status/arm-ha", "/cluster/ha/status/disarm-ha"}, path)
}

// unknown are those of the parameters that the node's release does not know.
func (n *node) unknown(call string, params map[string]string) map[string]string {
	errs := map[string]string{}
	if n.major() >= 9 {
		return errs
	}
	for _, name := range since9[call] {
		if _, given := params[name]; given {
			errs[name] = notInSchema
		}
	}
	return errs
}
