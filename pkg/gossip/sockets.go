package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"
)

const (
	// packetMax is the largest packet UDP can carry.
	packetMax = 1 << 16
	// receiveBuffer is what the kernel may hold of packets nobody has read yet.
	receiveBuffer = 2 << 20
	// bindTries is how often a free port is taken before giving up: one that is free for TCP
	// may be taken for UDP.
	bindTries = 10
	// pauseAfterFault is waited when a socket refuses to be read.
	pauseAfterFault = 100 * time.Millisecond
)

// sockets is a memberlist.NodeAwareTransport over UDP and TCP, as memberlist's own is. That
// one takes 64 KiB for every packet it receives, however small it is: several hundred
// kilobytes a second for the garbage collector in a cluster of five. Packets are copied
// here, at their own size.
type sockets struct {
	tcp     *net.TCPListener
	udp     *net.UDPConn
	packets chan *memberlist.Packet
	streams chan net.Conn
	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup
	log     *slog.Logger
}

// listen opens both sockets on one port; port 0 takes a free one. Shutdown closes them.
func listen(ip string, port int, log *slog.Logger) (*sockets, error) {
	tries := 1
	if port == 0 {
		tries = bindTries
	}
	var s *sockets
	var err error
	for range tries {
		if s, err = open(net.ParseIP(ip), port); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	s.log = log
	s.running.Go(s.receive)
	s.running.Go(s.accept)
	return s, nil
}

func open(ip net.IP, port int) (*sockets, error) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
	if err != nil {
		return nil, err
	}
	s := &sockets{tcp: tcp, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), stop: make(chan struct{})}
	if s.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: s.port()}); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	if err := s.udp.SetReadBuffer(receiveBuffer); err != nil {
		return nil, errors.Join(err, tcp.Close(), s.udp.Close())
	}
	return s, nil
}

func (s *sockets) port() int { return s.tcp.Addr().(*net.TCPAddr).Port }

// receive hands over packets until Shutdown.
func (s *sockets) receive() {
	buf := make([]byte, packetMax)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		at := time.Now() // round trips are measured by it
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("gossip cannot read a packet", "error", err)
			s.pause()
			continue
		}
		if n == 0 {
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		select {
		case s.packets <- &memberlist.Packet{Buf: slices.Clone(buf[:n]), From: net.UDPAddrFromAddrPort(from), Timestamp: at}:
		case <-s.stop:
			return
		}
	}
}

// accept hands over connections until Shutdown.
func (s *sockets) accept() {
	for {
		conn, err := s.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("gossip cannot accept a connection", "error", err)
			s.pause()
			continue
		}
		select {
		case s.streams <- conn:
		case <-s.stop:
			_ = conn.Close()
			return
		}
	}
}

// pause keeps a socket that is out of order from keeping a processor busy.
func (s *sockets) pause() {
	select {
	case <-time.After(pauseAfterFault):
	case <-s.stop:
	}
}

// FinalAdvertiseAddr is where others reach us: as configured, else where we listen, else,
// if that is everywhere, at the machine's private address.
func (s *sockets) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip != "" {
		return canonical(net.ParseIP(ip)), port, nil
	}
	bound := s.tcp.Addr().(*net.TCPAddr).IP
	if !bound.IsUnspecified() {
		return canonical(bound), s.port(), nil
	}
	private, err := sockaddr.GetPrivateIP()
	if err == nil && private == "" {
		err = errors.New("this machine has no private address: set the address to advertise")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("where others reach us: %w", err)
	}
	return canonical(net.ParseIP(private)), s.port(), nil
}

// canonical writes an IPv4 address in four bytes.
func canonical(ip net.IP) net.IP {
	if four := ip.To4(); four != nil {
		return four
	}
	return ip
}

// WriteToAddress sends a packet to IP:port. memberlist resolves names before.
func (s *sockets) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	addr, err := netip.ParseAddrPort(to.Addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = s.udp.WriteToUDPAddrPort(b, addr)
	return time.Now(), err
}

// WriteTo is WriteToAddress for a member without a name.
func (s *sockets) WriteTo(b []byte, addr string) (time.Time, error) {
	return s.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// DialAddressTimeout connects to IP:port.
func (s *sockets) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", to.Addr, timeout)
}

// DialTimeout is DialAddressTimeout for a member without a name.
func (s *sockets) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, timeout)
}

// PacketCh is where packets arrive.
func (s *sockets) PacketCh() <-chan *memberlist.Packet { return s.packets }

// StreamCh is where connections arrive.
func (s *sockets) StreamCh() <-chan net.Conn { return s.streams }

// Shutdown closes both sockets and waits until nothing arrives any more.
func (s *sockets) Shutdown() error {
	s.once.Do(func() {
		close(s.stop)
		_, _ = s.tcp.Close(), s.udp.Close()
	})
	s.running.Wait()
	return nil
}
