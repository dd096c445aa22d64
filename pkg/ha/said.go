package ha

import "strings"

// WithoutCommandLine leaves of a command in what Proxmox says, "command '…' failed: exit code 1",
// its program and how it ended: the command line of a virtual machine holds all of it,
// passwords of remote disks included. Arguments in it are quoted with the same sign and a long
// text may be cut, so that only "failed: " tells where it is over.
func WithoutCommandLine(said string) string {
	before, command, found := strings.Cut(said, "command '")
	if !found {
		return said
	}
	program, _, _ := strings.Cut(command, " ")
	program, _, _ = strings.Cut(program, "'")
	end := ""
	if k := strings.LastIndex(command, "failed: "); k >= 0 {
		end = " " + command[k:]
	}
	return before + "command '" + program + " …'" + end
}
