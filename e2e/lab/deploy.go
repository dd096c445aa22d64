package lab

import (
	"errors"
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/project"
)

// reload reads the lab's project again: the operator may have changed it.
func (l *Lab) reload() (ha.Policy, error) {
	p, err := project.Load(l.Project)
	if err != nil {
		return ha.Policy{}, err
	}
	return p.Policy, nil
}

// nothingToDeploy is what psw-lab deploy says when there is nothing to create.
const nothingToDeploy = "every target exists"

// hookScript deploys as the hook of psw bootstrap: psw-lab, the lab's folder, nothingToDeploy.
const hookScript = `#!/bin/sh
said=$('%s' --dir '%s' deploy) || exit
echo "$said"
test "$said" != '%s' || echo unchanged
`

// Deploy creates the targets of the project that do not exist yet, as PSW does after a
// bootstrap: running on their preferred nodes, their disks on the shared storage, and not
// under HA. It returns the names of those it made.
func (l *Lab) Deploy() ([]string, error) {
	p, err := l.reload()
	if err != nil {
		return nil, err
	}
	exists := make(map[string]bool)
	for _, g := range l.Cluster.Guests() {
		exists[g.Name] = true
	}
	var made []string
	for _, t := range p.Targets {
		if t.Type == ha.TargetBare || exists[t.Name] {
			continue
		}
		if !l.Cluster.HasStorage(string(t.Node), storageID) {
			return made, fmt.Errorf("%s has no storage %s: run psw bootstrap", t.Node, storageID)
		}
		l.Cluster.AddGuest(guest(t, vmid(p, t)))
		made = append(made, t.Name)
	}
	return made, nil
}

func deploy(l *Lab, args []string) (string, error) {
	if len(args) > 0 {
		return "", errors.New("want no argument")
	}
	made, err := l.Deploy()
	switch {
	case err != nil:
		return "", err
	case len(made) == 0:
		return nothingToDeploy, nil
	}
	return "created " + strings.Join(made, ", "), nil
}
