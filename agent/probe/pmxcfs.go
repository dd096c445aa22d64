package probe

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookPmxcfs asks whether the cluster file system is mounted and writable. It stands by
// itself because pmxcfs can block its readers, and memory or uptime must not wait for it.
func lookPmxcfs(_ context.Context, r *round) (facts, error) {
	mounted, err := pmxcfsMounted(r.host)
	if err != nil || !mounted {
		return nil, err
	}
	dir, err := r.host.Open("etc/pve/local")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	return func(report *ha.Report) {
		report.System.PmxcfsMounted = true
		// Every mode in /etc/pve loses its write bits when quorum is lost.
		report.System.PmxcfsWritable = info.Mode().Perm()&0o200 != 0
	}, nil
}

// pmxcfsMounted reports whether /etc/pve/local, a link pmxcfs makes, is there. Without
// pmxcfs the folder is empty, or, if its process died, answers that it is not connected.
func pmxcfsMounted(h Host) (bool, error) {
	_, err := h.ReadLink("etc/pve/local")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTCONN) {
		return false, nil
	}
	return err == nil, err
}

// errNoPmxcfs says that /etc/pve is empty because nothing is mounted there: what is
// missing below it then is unknown, not absent.
var errNoPmxcfs = errors.New("the cluster file system is not mounted on /etc/pve")

// needPmxcfs returns errNoPmxcfs unless pmxcfs is mounted.
func needPmxcfs(h Host) error {
	mounted, err := pmxcfsMounted(h)
	if err == nil && !mounted {
		return errNoPmxcfs
	}
	return err
}
