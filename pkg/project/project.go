// Package project reads a PSW project folder and turns it into an ha.Policy: network.yml,
// what nodes/*/hardware.yml says of capacity, and the VMIDs convergence wrote down. Its
// secret is the form of those files and the YAML library that reads them.
//
// Nothing is ever written. Every fault is found, not only the first, and each says where
// it is and what would be right. Keys we do not know are PSW's business: a NOTICE.
package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// networkFile is the file that makes a folder a project.
const networkFile = "network.yml"

// Project is a project folder that can be used.
type Project struct {
	// Dir is the folder, absolute.
	Dir string
	// Policy is what it declares.
	Policy ha.Policy
	// Notices are what is remarkable (WARN and NOTICE) but no obstacle, ordered by place.
	Notices []Fault
}

// Load reads the project in dir. The error is *Faults, of kind ha.Invalid, if there is
// anything in the way, and holds all of it.
func Load(dir string) (*Project, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, ha.Errorf(ha.Internal, "cannot tell which folder %s is: %w", dir, err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		why := "is no folder"
		if err != nil {
			why = reason(err).Error()
		}
		return nil, &Faults{List: []Fault{{Status: ha.Fail, File: abs, Text: why, Fix: "name the folder that holds network.yml, with -C DIR"}}}
	}
	policy, found := load(os.DirFS(abs), filepath.Base(abs))
	p := &Project{Dir: abs, Policy: policy}
	var faults []Fault
	for _, f := range found {
		if f.Status == ha.Fail {
			faults = append(faults, f)
		} else {
			p.Notices = append(p.Notices, f)
		}
	}
	if len(faults) > 0 {
		return nil, &Faults{List: faults, Notices: p.Notices}
	}
	return p, nil
}

// load reads the project in fsys, whose folder is called name. The policy is whole only
// if none of the faults is a FAIL.
func load(fsys fs.FS, name string) (ha.Policy, []Fault) {
	network := &source{file: networkFile}
	n := readNetwork(network, fsys, name)
	policy := n.policy
	var found []Fault
	for k := range policy.Hosts {
		host := &policy.Hosts[k]
		hardware := &source{file: "nodes/" + string(host.Name) + "/hardware.yml"}
		host.Capacity, host.Devices = readHardware(hardware, fsys)
		found = append(found, hardware.found...)
	}
	n.checkDevices()
	found = append(found, network.found...)
	state := &source{file: stateFile}
	readState(state, fsys, policy.Targets)
	found = append(found, state.found...)
	sortFaults(found)
	return policy, found
}

// Find returns the nearest folder at or above from that holds network.yml, absolute. The
// error is of kind ha.Invalid: nobody said which project is meant.
func Find(from string) (string, error) {
	dir, err := filepath.Abs(from)
	if err != nil {
		return "", ha.Errorf(ha.Internal, "cannot tell which folder %s is: %w", from, err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(filepath.Join(at, networkFile))
		switch {
		case err == nil && info.Mode().IsRegular():
			return at, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", ha.Errorf(ha.Invalid, "cannot look for %s in %s: %w; say which project with -C DIR", networkFile, at, reason(err))
		}
		if at == filepath.Dir(at) {
			return "", ha.Errorf(ha.Invalid, "cannot find %s in %s or any folder above it; say which project with -C DIR", networkFile, dir)
		}
	}
}
