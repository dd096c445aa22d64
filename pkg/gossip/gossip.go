// Package gossip is a second opinion on who is alive, beside corosync's, and the way in
// which agents find a coordinator that moved. Its secret is memberlist: how members are
// found, probed, suspected, given up and found again. Everything it says on the network
// is encrypted.
package gossip

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Roles of a member.
const (
	RoleAgent       = "agent"
	RoleCoordinator = "coordinator"
)

// Preset is how patient gossip is.
type Preset string

// The presets. With either, up to a dozen members see one whose power fails as suspect
// after 2 to 3 s and as dead after 5 to 7 s; a member that is itself slow takes longer to
// call others dead.
const (
	LAN   Preset = "lan"   // nodes on one network; the default
	Local Preset = "local" // everything on one machine: the lab
)

// Config says who takes part, and where.
type Config struct {
	// Name is the node's name, or the coordinator's. With Role it is whom Members shows.
	Name string
	// Role is RoleAgent or RoleCoordinator.
	Role string
	// Bind is the IP:port to listen at, UDP and TCP. Port 0 takes a free one.
	Bind string
	// Advertise is the IP:port where others reach us; empty: Bind, or with Bind at
	// 0.0.0.0 the machine's first private address.
	Advertise string
	// Key is the cluster's gossip key. There is no gossip without one.
	Key Key
	// Peers are other members' addresses, host:port. One that answers is enough; our own
	// may be among them.
	Peers []string
	// RPCAddress is where a coordinator's gRPC answers, host:port; empty for agents.
	RPCAddress string
	Log        *slog.Logger
	// Preset is LAN if empty.
	Preset Preset

	transport memberlist.Transport // of tests; nil means sockets
}

// Gossip is one member's part in it.
type Gossip struct {
	list     *memberlist.Memberlist
	self     *self
	table    *table
	peers    []string
	log      *slog.Logger
	stop     context.CancelFunc
	leave    sync.Once
	leaveErr error
}

// pace is how often the background looks around.
type pace struct {
	ping   time.Duration // between pings of every member
	rejoin time.Duration // between attempts to reach who is lost
}

// Join starts to listen and to look for the peers, in the background: it does not fail
// because none answers yet, and it goes on looking for those that are lost until ctx ends
// or Leave is called. Leave must be called in the end. Errors are Invalid (the
// configuration) or Unavailable (the address cannot be listened at).
func Join(ctx context.Context, c Config) (*Gossip, error) {
	conf, p, err := c.memberlist()
	if err != nil {
		return nil, err
	}
	g := &Gossip{table: newTable(c.Log), peers: c.Peers, log: c.Log}
	g.self, err = newSelf(c, g.table)
	if err != nil {
		return nil, err
	}
	conf.Name = g.self.instance
	conf.Delegate, conf.Events, conf.Alive = g.self, g.table, g.table
	if conf.Transport == nil {
		if conf.Transport, err = listen(conf.BindAddr, conf.BindPort, c.Log); err != nil {
			return nil, ha.Errorf(ha.Unavailable, "cannot listen for gossip at %s: %w", c.Bind, err)
		}
	}
	g.list, err = memberlist.Create(conf)
	if err != nil {
		return nil, errors.Join(ha.Errorf(ha.Unavailable, "cannot take part in gossip at %s: %w", c.Bind, err), conf.Transport.Shutdown())
	}
	ctx, g.stop = context.WithCancel(ctx)
	go g.every(ctx, p.rejoin, g.rejoin)
	go g.every(ctx, p.ping, g.ping)
	return g, nil
}

// memberlist translates a configuration.
func (c Config) memberlist() (*memberlist.Config, pace, error) {
	var conf *memberlist.Config
	var p pace
	switch c.Preset {
	case LAN, "":
		conf, p = memberlist.DefaultLANConfig(), pace{ping: time.Second, rejoin: 10 * time.Second}
	case Local:
		conf, p = memberlist.DefaultLocalConfig(), pace{ping: time.Second, rejoin: 2 * time.Second}
	default:
		return nil, p, ha.Errorf(ha.Invalid, "gossip preset %q: want lan or local", c.Preset)
	}
	if c.Name == "" || c.Role != RoleAgent && c.Role != RoleCoordinator {
		return nil, p, ha.Errorf(ha.Invalid, "gossip needs a name and the role agent or coordinator, not %q and %q", c.Name, c.Role)
	}
	if c.Log == nil {
		return nil, p, ha.Errorf(ha.Invalid, "gossip needs a logger")
	}
	if len(c.Key) != keySize {
		return nil, p, ha.Errorf(ha.Invalid, "gossip is always encrypted: want a key of %d bytes, not %d", keySize, len(c.Key))
	}
	var err error
	if conf.BindAddr, conf.BindPort, err = splitAddress(c.Bind); err != nil {
		return nil, p, ha.Errorf(ha.Invalid, "gossip bind address %q: %w", c.Bind, err)
	}
	conf.AdvertisePort = conf.BindPort
	if c.Advertise != "" {
		if conf.AdvertiseAddr, conf.AdvertisePort, err = splitAddress(c.Advertise); err != nil {
			return nil, p, ha.Errorf(ha.Invalid, "gossip advertise address %q: %w", c.Advertise, err)
		}
	}
	conf.SecretKey = c.Key
	conf.EnableCompression = false // of messages of a hundred bytes: ten kilobytes of garbage each, for nothing
	conf.Label = "psw-ha"          // other memberlists that come to our port are not listened to
	conf.Logger = log.New(noise{c.Log}, "", 0)
	conf.Transport = c.transport
	return conf, p, nil
}

func splitAddress(address string) (ip string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, err
	}
	if net.ParseIP(host) == nil {
		return "", 0, errors.New("want IP:port")
	}
	return host, int(n), nil
}

// every runs look at once and then at intervals until ctx ends.
func (g *Gossip) every(ctx context.Context, interval time.Duration, look func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		look(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// Members returns everybody gossip knows, ourselves included, by name, then role. Who died
// or left stays in it for a day.
func (g *Gossip) Members() []ha.Member { return g.table.members(time.Now()) }

// Coordinators returns the gRPC addresses of the coordinators, likeliest first: those
// alive, the one that joined last before the others, then those suspect or dead.
func (g *Gossip) Coordinators() []string { return g.table.coordinators(time.Now()) }

// Leave tells the others that we go, which they then see as left and not as dead, and
// stops. It waits no longer than about timeout for them to be told. A second call does
// nothing.
func (g *Gossip) Leave(timeout time.Duration) error {
	g.leave.Do(func() {
		g.stop()
		half := max(timeout/2, time.Millisecond) // to memberlist 0 is for ever
		g.sayGoodbye(half)
		g.leaveErr = errors.Join(g.list.Leave(half), g.list.Shutdown())
	})
	return g.leaveErr
}

// sayGoodbye tells every live member that we leave: memberlist's own message of it does
// not reach its users (v0.7.0 reports left and dead members alike).
func (g *Gossip) sayGoodbye(timeout time.Duration) {
	var telling sync.WaitGroup
	for _, m := range g.table.others(g.self.instance) {
		telling.Go(func() {
			if err := g.list.SendReliable(m.node, []byte(g.self.instance)); err != nil {
				g.log.Debug("gossip member not told that we leave", "member", m.Name, "role", m.Role, "error", err)
			}
		})
	}
	told := make(chan struct{})
	go func() { telling.Wait(); close(told) }()
	select {
	case <-told:
	case <-time.After(timeout):
	}
}

// rejoin tries to reach the peers we were told of and the members that died, if nobody
// alive is at their address. memberlist itself gives the dead up after half a minute, so
// that two halves of a network would never find each other again.
func (g *Gossip) rejoin(ctx context.Context) {
	var round sync.WaitGroup
	for _, address := range g.table.lost(g.peers) {
		round.Go(func() { g.reach(ctx, address) })
	}
	round.Wait()
}

func (g *Gossip) reach(ctx context.Context, address string) {
	targets, err := resolve(ctx, address)
	if err == nil {
		targets = g.table.lost(targets)
		for _, t := range targets {
			if _, err = g.list.Join([]string{t}); err == nil {
				break
			}
		}
	}
	if ctx.Err() == nil {
		g.table.reached(address, joinError(err))
	}
}

// resolve turns host:port into IP:port. memberlist would ask the name server in a way of
// its own (TCP, type ANY) that many do not answer.
func resolve(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	for k, ip := range ips {
		ips[k] = net.JoinHostPort(ip, port)
	}
	return ips, nil
}

// joinError is why a peer was not reached, in one line.
func joinError(err error) error {
	if err == nil {
		return nil
	}
	if first := errors.Unwrap(err); first != nil { // the list memberlist makes of one error
		err = first
	}
	if strings.Contains(err.Error(), "decrypt") {
		return errors.New("it has another gossip key")
	}
	return err
}

// ping asks every live member for a sign of life. memberlist probes them too, one a
// second, but keeps to itself whom it suspects (v0.7.0 sets Node.State nowhere).
func (g *Gossip) ping(context.Context) {
	var round sync.WaitGroup
	for _, m := range g.table.others(g.self.instance) {
		round.Go(func() {
			_, err := g.list.Ping(m.node.Name, &net.UDPAddr{IP: m.node.Addr, Port: int(m.node.Port)})
			g.table.pinged(m.node.Name, err == nil)
		})
	}
	round.Wait()
}
