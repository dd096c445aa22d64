package probe

import (
	"net/netip"
	"path"
	"slices"
)

// IPMIArguments are those of ipmitool for a BMC: it reads the password itself, from the
// first line of a file, so that it is in no argument list, no environment and no log, and
// not in our memory either. Two seconds and three tries find a BMC that is there on any
// local network; ipmitool's own limits would keep an answer for half a minute.
func IPMIArguments(address netip.Addr, user, file, command string) []string {
	return []string{"-I", "lanplus", "-N", "2", "-R", "3", "-H", address.String(), "-U", user, "-f", file, "chassis", "power", command}
}

// allowedIPMI allows asking for the power and cutting it, and nothing else a BMC can do.
// That the agent's own configuration must allow the second is seen to where it is ordered.
func allowedIPMI(args []string) bool {
	if len(args) != 15 {
		return false
	}
	address, err := netip.ParseAddr(args[7])
	user, file, command := args[9], args[11], args[14]
	return err == nil && BMCUser.Matches(user) &&
		path.IsAbs(file) && path.Clean(file) == file && fileName.Matches(path.Base(file)) &&
		(command == "status" || command == "off") && slices.Equal(args, IPMIArguments(address, user, file, command))
}
