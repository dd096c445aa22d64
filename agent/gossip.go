package agent

import (
	"context"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/gossip"
)

// leaveMax is how long the others are waited for to hear that we go: a neighbour that is
// told does not raise an alarm, one that cannot be told will find out.
const leaveMax = 3 * time.Second

// join takes part in gossip, if that is configured. It returns where coordinators are
// now, and how to leave.
func (a *Agent) join(ctx context.Context) (coordinators func() []string, leave func(), _ error) {
	c := a.config.Gossip
	if !c.On() {
		return func() []string { return nil }, func() {}, nil
	}
	key, err := gossip.LoadKey(c.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	g, err := gossip.Join(ctx, gossip.Config{
		Name: string(a.config.Node), Role: gossip.RoleAgent,
		Bind: c.Bind, Advertise: c.Advertise, Key: key, Peers: c.Peers,
		Log: a.log, Preset: c.Preset,
	})
	if err != nil {
		return nil, nil, err
	}
	return g.Coordinators, func() {
		if err := g.Leave(leaveMax); err != nil {
			a.log.Warn("left gossip without telling everybody", "reason", err)
		}
	}, nil
}

// addresses are where to dial: where gossip says that a coordinator is now, then what is
// configured, which may be old; none twice.
func addresses(gossiped, configured []string) []string {
	var list []string
	for _, a := range slices.Concat(gossiped, configured) {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
