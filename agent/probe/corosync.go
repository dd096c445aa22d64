package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// corosyncToolMax is how long one corosync tool may take. They answer in milliseconds, or
// never: all of them hang while corosync is stopped by a signal.
const corosyncToolMax = 2 * time.Second

// cmapAgeMax is how long corosync's running configuration is remembered. It follows from
// corosync.conf, so it is asked again when that changes; a little later as well, because
// corosync may read a new file some time after it was written.
const cmapAgeMax = time.Minute

// cmapCache remembers the running configuration.
type cmapCache struct {
	conf  string
	asked time.Time
	running
}

// running is what corosync runs with, whatever its file says.
type running struct {
	token, consensus time.Duration
	configVersion    int
}

// deviceAgeMax is how long the state of the QDevice's server is remembered. Whether the
// QDevice votes is asked every round, with everybody else's votes.
const deviceAgeMax = 15 * time.Second

// lookCorosync asks corosync's own tools. quorumtool comes first and alone: it says
// whether corosync answers at all, and if it hangs, the others would as well.
func lookCorosync(ctx context.Context, r *round) (facts, error) {
	conf := readCorosyncConf(r.host)
	c, err := askQuorum(ctx, r.host)
	c.Config = conf.declared
	put := func(report *ha.Report) { report.Corosync = c }
	if err != nil || !c.Running {
		return put, err
	}
	c.QDevice = c.QDevice || conf.declared.QDeviceModel != ""

	var all sync.WaitGroup
	all.Go(func() { c.Links, err = askLinks(ctx, r.host, c.NodeID, conf) })
	all.Go(func() {
		now := r.askRunning(ctx, conf)
		c.TokenTimeout, c.Consensus, c.ConfigVersion = now.token, now.consensus, now.configVersion
	})
	if c.QDevice {
		all.Go(func() { c.QDeviceState = r.askDevice(ctx) })
	}
	all.Wait()
	return put, err
}

// tool runs a corosync tool, or one that answers as fast. code is its exit code.
func tool(ctx context.Context, h Host, name string, args ...string) (out []byte, code int, err error) {
	return toolWithin(ctx, corosyncToolMax, h, name, args...)
}

// toolWithin is tool with a limit of its own.
func toolWithin(ctx context.Context, limit time.Duration, h Host, name string, args ...string) (out []byte, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err = h.Run(ctx, name, args...)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, 0, fmt.Errorf("%s did not answer within %s", name, limit)
	}
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		return out, exit.ExitCode(), nil
	}
	return out, 0, err
}

// askQuorum runs corosync-quorumtool. It exits with 0 when quorate, with 2 and a complete
// text when not, and with 1 and nothing on standard output when there is no corosync to
// talk to.
func askQuorum(ctx context.Context, h Host) (ha.Corosync, error) {
	const quorate, notQuorate, noCorosync = 0, 2, 1
	out, code, err := tool(ctx, h, "corosync-quorumtool", "-s")
	switch {
	case err != nil:
		return ha.Corosync{}, err
	case code == noCorosync && len(out) == 0:
		return ha.Corosync{}, nil
	case code != quorate && code != notQuorate:
		return ha.Corosync{}, fmt.Errorf("corosync-quorumtool exited with %d", code)
	}
	c, err := parseQuorumtool(string(out))
	if err != nil {
		return ha.Corosync{}, err
	}
	if c.Quorate != (code == quorate) {
		return ha.Corosync{}, fmt.Errorf("corosync-quorumtool prints quorate=%t but exited with %d", c.Quorate, code)
	}
	return c, nil
}

// linkKey names a link: the peer and the link's number.
type linkKey struct{ peer, number int }

// askLinks combines what three sources say of the links to each peer. cfgtool -n knows
// addresses and states but leaves out whoever cannot be reached; the statistics know
// every peer and the latencies; cfgtool -s knows every peer as well and serves where the
// statistics cannot be had. A link is connected only if nobody says otherwise.
func askLinks(ctx context.Context, h Host, self int, conf corosyncConf) ([]ha.Link, error) {
	var peers, stats []ha.Link
	var peersErr, statsErr error
	var both sync.WaitGroup
	both.Go(func() { peers, peersErr = askTool(ctx, h, parseCfgtoolPeers, "corosync-cfgtool", "-n") })
	both.Go(func() { stats, statsErr = askTool(ctx, h, parseLinkStats, "corosync-cmapctl", "-m", "stats") })
	both.Wait()
	if statsErr != nil {
		status, err := askTool(ctx, h, parseCfgtoolStatus, "corosync-cfgtool", "-s")
		if err != nil {
			return nil, faults{statsErr, err}.err()
		}
		stats = status
	}
	if peersErr != nil {
		return nil, peersErr
	}

	links := map[linkKey]ha.Link{}
	for _, l := range stats {
		if l.PeerID != self {
			links[linkKey{l.PeerID, l.Number}] = l
		}
	}
	reached := map[linkKey]bool{}
	for _, l := range peers {
		key := linkKey{l.PeerID, l.Number}
		known, ok := links[key]
		l.Connected = l.Connected && (!ok || known.Connected)
		l.Enabled = l.Enabled && (!ok || known.Enabled)
		l.Latency, l.LatencyMax, l.Downs = known.Latency, known.LatencyMax, known.Downs
		links[key] = l
		reached[key] = true
	}
	list := make([]ha.Link, 0, len(links))
	for key, l := range links {
		l.Connected = l.Connected && reached[key]
		conf.describe(&l, self)
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b ha.Link) int {
		return cmp.Or(cmp.Compare(a.PeerID, b.PeerID), cmp.Compare(a.Number, b.Number))
	})
	return list, nil
}

// askTool runs a tool that succeeds with 0, and parses what it prints.
func askTool[T any](ctx context.Context, h Host, parse func(string) (T, error), name string, args ...string) (T, error) {
	var none T
	out, code, err := tool(ctx, h, name, args...)
	if err != nil {
		return none, err
	}
	if code != 0 {
		return none, fmt.Errorf("%s exited with %d", name, code)
	}
	return parse(string(out))
}

// askRunning returns what corosync runs with, remembered where possible; nothing if it
// cannot be had, which is no reason to doubt the rest. While it is not what the file says,
// it is asked every round.
func (r *round) askRunning(ctx context.Context, conf corosyncConf) running {
	known := r.cmap.conf == conf.text && time.Since(r.cmap.asked) < cmapAgeMax
	if known && r.cmap.token != 0 && (conf.declared.Version == 0 || r.cmap.configVersion == conf.declared.Version) {
		return r.cmap.running
	}
	now, err := askTool(ctx, r.host, parseRunning, "corosync-cmapctl")
	if err != nil {
		return running{}
	}
	r.cmap = cmapCache{conf: conf.text, asked: time.Now(), running: now}
	return now
}

// askDevice returns what the QDevice says of its server; empty if it cannot be asked: its
// unit is among those that are reported.
func (r *round) askDevice(ctx context.Context) string {
	if !r.device.asked.IsZero() && time.Since(r.device.asked) < deviceAgeMax {
		return r.device.state
	}
	state, err := askTool(ctx, r.host, parseDeviceState, "corosync-qdevice-tool", "-s")
	if err != nil {
		return ""
	}
	r.device.asked, r.device.state = time.Now(), state
	return state
}
