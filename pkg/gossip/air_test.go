package gossip

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// An air is a network in memory, on which real members talk in virtual time.
type air struct {
	mu       sync.Mutex
	stations map[string]*station
	sides    map[string]int // stations on different sides do not hear each other
}

// station makes the transport of a new address.
func (a *air) station() *station {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stations == nil {
		a.stations, a.sides = map[string]*station{}, map[string]int{}
	}
	s := &station{
		air: a, port: len(a.stations) + 1,
		packets: make(chan *memberlist.Packet, 1000), streams: make(chan net.Conn, 1000),
	}
	a.stations[s.address()] = s
	return s
}

// move puts a station on a side.
func (a *air) move(address string, side int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sides[address] = side
}

// hears returns who is at an address, if from can be heard there.
func (a *air) hears(from, at string) *station {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.stations[at]; s != nil && !s.off && a.sides[from] == a.sides[at] {
		return s
	}
	return nil
}

// A station is one member's memberlist.NodeAwareTransport.
type station struct {
	air     *air
	port    int
	packets chan *memberlist.Packet
	streams chan net.Conn
	off     bool // guarded by air.mu
}

func (s *station) address() string { return fmt.Sprintf("10.0.0.1:%d", s.port) }

func (s *station) addr() net.Addr { return &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: s.port} }

func (s *station) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IPv4(10, 0, 0, 1).To4(), s.port, nil
}

func (s *station) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	if to := s.air.hears(s.address(), addr); to != nil {
		to.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: s.addr(), Timestamp: now}
	}
	return now, nil
}

func (s *station) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return s.WriteTo(b, a.Addr)
}

func (s *station) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to := s.air.hears(s.address(), addr)
	if to == nil {
		time.Sleep(timeout)
		return nil, errors.New("nobody answers")
	}
	here, there := net.Pipe()
	to.streams <- there
	return here, nil
}

func (s *station) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return s.DialTimeout(a.Addr, timeout)
}

func (s *station) PacketCh() <-chan *memberlist.Packet { return s.packets }
func (s *station) StreamCh() <-chan net.Conn           { return s.streams }

func (s *station) IngestPacket(net.Conn, net.Addr, time.Time, bool) error { return io.ErrClosedPipe }
func (s *station) IngestStream(net.Conn) error                            { return io.ErrClosedPipe }

func (s *station) Shutdown() error {
	s.air.mu.Lock()
	defer s.air.mu.Unlock()
	s.off = true
	return nil
}
