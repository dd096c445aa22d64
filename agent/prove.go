package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// proveMax is how long a storage may take to be written to or read. A NAS that wakes its
	// disks takes ten seconds; longer is as good as not answering.
	proveMax = 20 * time.Second
	// proveAgain is how soon it is tried again while another part in a proof is under way.
	proveAgain = 100 * time.Millisecond
)

// proveStorage does this node's part in proving that a storage is shared. What the file
// system says is the answer; it fails only if the file system says nothing.
func (a *Agent) proveStorage(ctx context.Context, deed ha.ProveStorage) ha.OrderResult {
	if !probe.ProofNonce(deed.Nonce) {
		return refused("%q is no word for a proof", deed.Nonce)
	}
	if !slices.Contains([]ha.ProofDeed{ha.ProofWrite, ha.ProofRead, ha.ProofRemove}, deed.Deed) {
		return refused("this agent does not know how to %q a proof: update it", deed.Deed)
	}
	if !path.IsAbs(deed.Path) || path.Clean(deed.Path) != deed.Path {
		return refused("%q is no absolute path", deed.Path)
	}
	mounted, err := a.storageAt(ctx, deed.Path)
	if err != nil {
		return refused("%v", err)
	}
	host, ok := a.host.(probe.Prover)
	if !ok {
		return refused("nothing can be written on this host")
	}
	ctx, cancel := context.WithTimeout(ctx, proveMax)
	defer cancel()
	raw, err := host.Prove(ctx, string(deed.Deed), deed.Path, deed.Nonce, mounted)
	for errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		// The one before it is still at work, the removal of the last proof's word for instance:
		// that says nothing of the storage while there is time.
		select {
		case <-time.After(proveAgain):
		case <-ctx.Done():
		}
		raw, err = host.Prove(ctx, string(deed.Deed), deed.Path, deed.Nonce, mounted)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ha.OrderResult{Failed: fmt.Sprintf("%s does not answer: %v", deed.Path, err)}
	case err != nil:
		return ha.OrderResult{Failed: err.Error()}
	}
	var sight ha.StorageSight
	if err := json.Unmarshal(raw, &sight); err != nil {
		return ha.OrderResult{Failed: fmt.Sprintf("the proof on %s made no sense: %v", deed.Path, err)}
	}
	return ha.OrderResult{Storage: &sight}
}

// storageAt says whether something must be mounted on a path before it is written to, and
// fails if the path is no storage's: an agent writes to nothing else.
func (a *Agent) storageAt(ctx context.Context, at string) (mounted bool, err error) {
	storages, err := onPmxcfs(ctx, a, readMax, "/etc/pve/storage.cfg", func() ([]ha.LocalStorage, error) { return probe.Storages(a.host) })
	if err != nil {
		return false, fmt.Errorf("it cannot be seen whether %s is a storage: %w", at, err)
	}
	var paths []string
	for _, s := range storages {
		if s.Path == "" || s.Disabled {
			continue
		}
		if path.Clean(s.Path) == at {
			return s.Type != "dir" && s.Type != "btrfs" || s.IsMountpoint, nil
		}
		paths = append(paths, s.Path)
	}
	if slices.Contains(a.config.WritePaths, at) {
		return true, nil
	}
	return false, fmt.Errorf("%s is the path of no storage: storage.cfg has %s", at, strings.Join(paths, ", "))
}
