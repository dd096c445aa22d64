package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// pvecmAllowed reports whether an agent may run pvecm with these arguments. Neither a
// password nor --force is among them.
func pvecmAllowed(args []string) bool {
	if len(args) < 2 {
		return false
	}
	switch args[0] {
	case "create":
		return ClusterName.Matches(args[1]) && linksAllowed(args[2:])
	case "add":
		return IsAddress(args[1]) && len(args) > 4 && slices.Equal(args[2:4], []string{"--use_ssh", "1"}) && linksAllowed(args[4:])
	case "delnode":
		return len(args) == 2 && NodeName.Matches(args[1])
	case "qdevice":
		return len(args) == 2 && args[1] == "remove" || len(args) == 3 && args[1] == "setup" && HostName.Matches(args[2])
	}
	return false
}

// linksAllowed: --link0 ADDRESS --link1 ADDRESS …, in order and without a gap.
func linksAllowed(args []string) bool {
	if len(args) == 0 || len(args)%2 != 0 {
		return false
	}
	for k := 0; k < len(args); k += 2 {
		if args[k] != "--link"+strconv.Itoa(k/2) || !IsAddress(args[k+1]) {
			return false
		}
	}
	return true
}

// IsAddress reports whether text is the one way to write an IP address without a zone.
func IsAddress(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Zone() == "" && a.String() == text
}

// pvecmUnit is the unit of the pvecm that an agent began. systemd keeps the text of a unit
// that was made by systemd-run as a file, as long as the unit is there.
const (
	pvecmUnit     = "psw-pvecm"
	pvecmUnitFile = "run/systemd/transient/" + pvecmUnit + ".service"
)

// outsideSandbox is a command line that has systemd run a command in a unit of its own. The
// agent's own unit may not write to /etc, and a join that has begun must not end with the
// agent. There is one such unit, so that there never are two at a time.
func outsideSandbox(path string, args []string) (name string, all []string) {
	return "systemd-run", append([]string{"--quiet", "--wait", "--pipe", "--collect", "--unit=" + pvecmUnit,
		"--description=pvecm for psw-ha", "--property=RuntimeMaxSec=" + strconv.Itoa(int(pvecmMax.Seconds())), "--setenv=LC_ALL=C", "--setenv=HOME=/root", "--", path}, args...)
}

// writable are the files a Host may be told to write, and nothing else: whom root lets in,
// and whose host keys root knows.
var writable = []string{"etc/pve/priv/authorized_keys", "root/.ssh/known_hosts"}

// WriteFile replaces one of the few files that may be written, in one step: what was there
// before is whole until what is new is.
func (h *localHost) WriteFile(name string, data []byte, perm fs.FileMode) error {
	if !slices.Contains(writable, name) {
		return fmt.Errorf("/%s is not on the list of files that may be written", name)
	}
	path, err := h.path("write", name)
	if err != nil {
		return err
	}
	// Root's own folder may be missing. Those of pmxcfs never are while it is mounted; made while
	// it is not, they would take the file instead of the cluster.
	if !strings.HasPrefix(name, "etc/pve/") {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
	}
	// pmxcfs keeps names of temporary files as well: one name, and no litter.
	temporary := path + ".psw-ha"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return os.Rename(temporary, path)
}
