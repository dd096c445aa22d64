package gossip

import (
	"bytes"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// opened listens on the loopback until the test ends.
func opened(t *testing.T, ip string) *sockets {
	t.Helper()
	s, err := listen(ip, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	return s
}

func (s *sockets) at(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(s.port())) }

// Packets arrive whole, from the smallest to the largest, each in memory of its own, and
// say who sent them in the form in which members are known.
func TestPacketsArriveWhole(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "0.0.0.0", "::1"} {
		here, there := opened(t, ip), opened(t, ip)
		loopback := ip
		if ip == "0.0.0.0" {
			loopback = "127.0.0.1"
		}
		var before *memberlist.Packet
		for _, size := range []int{1, 100, 1400, 60_000} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			if _, err := here.WriteTo(sent, there.at(loopback)); err != nil {
				t.Fatal(err)
			}
			got := <-there.PacketCh()
			if !bytes.Equal(got.Buf, sent) || got.From.String() != here.at(loopback) || time.Since(got.Timestamp) > time.Minute {
				t.Errorf("%d bytes arrived as %d, from %s at %s", size, len(got.Buf), got.From, got.Timestamp)
			}
			if cap(got.Buf) > 2*size+64 {
				t.Errorf("%d bytes take %d", size, cap(got.Buf))
			}
			if before != nil && before.Buf[0] == got.Buf[0] {
				t.Error("a packet was overwritten by the next")
			}
			before = got
		}
	}
}

// Connections are handed over. Shutdown frees the port and does not wait for those whom
// nobody takes.
func TestConnectionsAndTheEnd(t *testing.T) {
	s := opened(t, "127.0.0.1")
	at := s.at("127.0.0.1")
	conn, err := s.DialTimeout(at, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := <-s.StreamCh()
	if got.RemoteAddr().String() != conn.LocalAddr().String() {
		t.Errorf("from %s, want %s", got.RemoteAddr(), conn.LocalAddr())
	}
	got.Close()
	waiting, err := s.DialTimeout(at, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	if _, err := s.WriteTo([]byte("nobody reads this"), at); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(); err != nil {
		t.Error(err)
	}
	again, err := listen("127.0.0.1", s.port(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Shutdown(); err != nil {
		t.Error(err)
	}
}

// Others are told the configured address, else where we listen, else a private address of
// the machine, never that we listen everywhere.
func TestWhereOthersReachUs(t *testing.T) {
	s := opened(t, "127.0.0.1")
	if ip, port, err := s.FinalAdvertiseAddr("10.1.2.3", 99); err != nil || ip.String() != "10.1.2.3" || port != 99 {
		t.Errorf("configured: %s %d %v", ip, port, err)
	}
	if ip, port, err := s.FinalAdvertiseAddr("", 0); err != nil || ip.String() != "127.0.0.1" || port != s.port() {
		t.Errorf("where we listen: %s %d %v", ip, port, err)
	}
	everywhere := opened(t, "0.0.0.0")
	ip, port, err := everywhere.FinalAdvertiseAddr("", 0)
	if err == nil && (ip.IsUnspecified() || ip.IsLoopback() || !ip.IsPrivate() || port != everywhere.port()) {
		t.Errorf("everywhere: %s %d", ip, port)
	}
}
