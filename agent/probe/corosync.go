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

// tokenAgeMax is how long the token timeout is remembered. It follows from corosync.conf,
// so it is asked again when that changes; a little later as well, because corosync may
// read a new file some time after it was written.
const tokenAgeMax = time.Minute

// tokenCache remembers the token timeout.
type tokenCache struct {
	conf  string
	asked time.Time
	token time.Duration
}

// lookCorosync asks corosync's own tools. quorumtool comes first and alone: it says
// whether corosync answers at all, and if it hangs, the others would as well.
func lookCorosync(ctx context.Context, r *round) (facts, error) {
	c, err := askQuorum(ctx, r.host)
	if err != nil {
		return nil, err
	}
	put := func(report *ha.Report) { report.Corosync = c }
	if !c.Running {
		return put, nil
	}
	conf := readCorosyncConf(r.host)
	c.QDevice = c.QDevice || conf.qdevice

	var both sync.WaitGroup
	both.Go(func() { c.Links, err = askLinks(ctx, r.host, c.NodeID, conf) })
	both.Go(func() { c.TokenTimeout = r.askToken(ctx, conf) })
	both.Wait()
	return put, err
}

// tool runs a corosync tool. code is its exit code.
func tool(ctx context.Context, h Host, name string, args ...string) (out []byte, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, corosyncToolMax)
	defer cancel()
	out, err = h.Run(ctx, name, args...)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, 0, fmt.Errorf("%s did not answer within %s", name, corosyncToolMax)
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
			return nil, errors.Join(statsErr, err)
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
		l.Latency, l.LatencyMax = known.Latency, known.LatencyMax
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

// askToken returns the token timeout corosync runs with, remembered where possible; 0 if
// it cannot be had, which is no reason to doubt the rest.
func (r *round) askToken(ctx context.Context, conf corosyncConf) time.Duration {
	if r.token.token != 0 && r.token.conf == conf.text && time.Since(r.token.asked) < tokenAgeMax {
		return r.token.token
	}
	token, err := askTool(ctx, r.host, parseTokenTimeout, "corosync-cmapctl")
	if err != nil {
		return 0
	}
	r.token = tokenCache{conf: conf.text, asked: time.Now(), token: token}
	return token
}
