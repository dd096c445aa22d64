package gossip

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A hall is an air with the key that its members share. Those who join are killed when
// the test ends.
type hall struct {
	t       *testing.T
	air     *air
	key     Key
	cleanup sync.Once
}

func newHall(t *testing.T) *hall {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &hall{t: t, air: &air{}, key: key}
}

// join brings a member in that knows the address of one other.
func (h *hall) join(c Config, peers ...string) (*Gossip, string) {
	h.t.Helper()
	// What was dialed last in the bubble needs virtual time to be given up.
	h.cleanup.Do(func() { h.t.Cleanup(func() { time.Sleep(time.Minute) }) })
	s := h.air.station()
	c.transport, c.Bind, c.Peers = s, s.address(), peers
	if c.Key == nil {
		c.Key = h.key
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	g, err := Join(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { kill(h.t, g) })
	return g, s.address()
}

// kill ends a member as a power cut does: nobody is told.
func kill(t *testing.T, g *Gossip) {
	t.Helper()
	g.stop()
	if err := g.list.Shutdown(); err != nil {
		t.Error(err)
	}
}

func agent(name string) Config { return Config{Name: name, Role: RoleAgent} }

func coordinator(rpc string) Config {
	return Config{Name: "home", Role: RoleCoordinator, RPCAddress: rpc}
}

// pass lets time pass in the bubble, and then everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// states says who is in which state: "agent node1 alive".
func states(g *Gossip) []string {
	var list []string
	for _, m := range g.Members() {
		list = append(list, fmt.Sprintf("%s %s %s", m.Role, m.Name, m.State))
	}
	return list
}

func wantStates(t *testing.T, when string, g *Gossip, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, states(g)); diff != "" {
		t.Errorf("members %s (-want +got):\n%s", when, diff)
	}
}

func TestMembersFindEachOtherThroughOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a, at := h.join(agent("node1"))
		b, _ := h.join(agent("node2"), at)
		c, _ := h.join(coordinator("10.0.0.9:8007"), at)
		pass(5 * time.Second)
		for _, g := range []*Gossip{a, b, c} {
			wantStates(t, "after 5 s", g, "coordinator home alive", "agent node1 alive", "agent node2 alive")
			if diff := cmp.Diff([]string{"10.0.0.9:8007"}, g.Coordinators()); diff != "" {
				t.Errorf("coordinators (-want +got):\n%s", diff)
			}
		}
		want := ha.Member{Name: "node1", Address: at, State: ha.MemberAlive, Role: RoleAgent}
		if got := b.Members()[1]; got != want {
			t.Errorf("node2 sees node1 as %+v, want %+v", got, want)
		}
	})
}

// Nobody answers at first, as when all nodes boot after a power cut.
func TestAPeerThatComesLaterIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a, _ := h.join(agent("node1"), "10.0.0.1:2")
		pass(5 * time.Minute)
		wantStates(t, "alone", a, "agent node1 alive")
		h.join(agent("node2"))
		pass(time.Minute)
		wantStates(t, "after node2 came", a, "agent node1 alive", "agent node2 alive")
	})
}

func TestAMemberThatLeavesIsNotCalledDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a, at := h.join(agent("node1"))
		b, _ := h.join(agent("node2"), at)
		c, _ := h.join(coordinator("10.0.0.9:8007"), at)
		pass(5 * time.Second)
		for _, g := range []*Gossip{b, c} {
			if err := g.Leave(5 * time.Second); err != nil {
				t.Error(err)
			}
		}
		pass(time.Minute)
		wantStates(t, "after two left", a, "coordinator home left", "agent node1 alive", "agent node2 left")
		if got := a.Coordinators(); len(got) != 0 {
			t.Errorf("coordinators %v, want none: the only one left", got)
		}
		if err := b.Leave(time.Second); err != nil {
			t.Errorf("leaving twice: %v", err)
		}
	})
}

// The power of node2 fails.
func TestAKilledMemberIsSuspectThenDead(t *testing.T) {
	for _, preset := range []Preset{Local, LAN} {
		t.Run(string(preset), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				var log strings.Builder
				observer := agent("node1")
				observer.Preset, observer.Log = preset, slog.New(slog.NewTextHandler(&log, nil))
				a, at := h.join(observer)
				second, third := agent("node2"), agent("node3")
				second.Preset, third.Preset = preset, preset
				b, _ := h.join(second, at)
				h.join(third, at)
				pass(time.Minute)
				kill(t, b)
				pass(3 * time.Second)
				wantStates(t, "3 s after the power cut", a, "agent node1 alive", "agent node2 suspect", "agent node3 alive")
				pass(time.Minute)
				wantStates(t, "a minute later", a, "agent node1 alive", "agent node2 dead", "agent node3 alive")
				pass(10 * time.Minute)
				wantStates(t, "ten minutes later", a, "agent node1 alive", "agent node2 dead", "agent node3 alive")
				a.Leave(time.Second)
				if !strings.Contains(log.String(), `level=WARN msg="gossip member died" member=node2`) || strings.Contains(log.String(), "level=ERROR") {
					t.Errorf("the log does not say that node2 died, or says too much:\n%s", log.String())
				}
			})
		})
	}
}

// The coordinator's node loses its power; the HA manager starts the coordinator elsewhere,
// before gossip has given up the one that was.
func TestACoordinatorThatMovedIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a, at := h.join(agent("node1"))
		old, _ := h.join(coordinator("10.0.0.2:8007"), at)
		pass(time.Minute)
		kill(t, old)
		h.join(coordinator("10.0.0.3:8007"), at)
		pass(time.Second)
		if diff := cmp.Diff([]string{"10.0.0.3:8007", "10.0.0.2:8007"}, a.Coordinators()); diff != "" {
			t.Errorf("coordinators, likeliest first (-want +got):\n%s", diff)
		}
		wantStates(t, "at once", a, "coordinator home alive", "agent node1 alive")
		pass(5 * time.Minute)
		wantStates(t, "later", a, "coordinator home alive", "agent node1 alive")
		if diff := cmp.Diff([]string{"10.0.0.3:8007"}, a.Coordinators()); diff != "" {
			t.Errorf("coordinators after the old one was given up (-want +got):\n%s", diff)
		}
	})
}

// Two halves of the network lose each other for so long that memberlist forgets.
func TestAHealedNetworkComesTogetherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a, at := h.join(agent("node1"))
		b, bt := h.join(agent("node2"), at)
		pass(time.Minute)
		h.air.move(bt, 1)
		pass(10 * time.Minute)
		wantStates(t, "on one side", a, "agent node1 alive", "agent node2 dead")
		wantStates(t, "on the other side", b, "agent node1 dead", "agent node2 alive")
		h.air.move(bt, 0)
		pass(time.Minute)
		for _, g := range []*Gossip{a, b} {
			wantStates(t, "after it healed", g, "agent node1 alive", "agent node2 alive")
		}
	})
}

func TestAWrongKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		a, at := h.join(agent("node1"))
		stranger := agent("node2")
		stranger.Key = newHall(t).key
		var log strings.Builder
		stranger.Log = slog.New(slog.NewTextHandler(&log, nil))
		b, _ := h.join(stranger, at)
		pass(10 * time.Minute)
		wantStates(t, "of the cluster", a, "agent node1 alive")
		wantStates(t, "of the stranger", b, "agent node2 alive")
		if err := b.Leave(time.Second); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "it has another gossip key"); n != 1 {
			t.Errorf("the log asks for the key %d times, want once:\n%s", n, log.String())
		}
	})
}

// The members that died or left are forgotten after a day, not before.
func TestTheDeadAreForgottenAfterADay(t *testing.T) {
	now := time.Now()
	tab := newTable(slog.New(slog.DiscardHandler))
	for name, state := range map[string]ha.MemberState{"node1": ha.MemberAlive, "node2": ha.MemberDead, "node3": ha.MemberLeft} {
		tab.rows[name] = &row{card: card{Name: name, Role: RoleAgent}, node: &memberlist.Node{Name: name}, state: state, changed: now}
	}
	if got := tab.members(now.Add(forgetAfter)); len(got) != 3 {
		t.Errorf("after a day: %v, want all three", got)
	}
	if got := tab.members(now.Add(forgetAfter + time.Second)); len(got) != 1 || got[0].Name != "node1" {
		t.Errorf("after more than a day: %v, want who is alive", got)
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	good := Config{Name: "node1", Role: RoleAgent, Bind: "127.0.0.1:0", Key: newHall(t).key, Log: slog.New(slog.DiscardHandler)}
	tests := []struct {
		name  string
		spoil func(*Config)
		says  string
	}{
		{"no key", func(c *Config) { c.Key = nil }, "always encrypted"},
		{"a short key", func(c *Config) { c.Key = c.Key[:16] }, "32 bytes, not 16"},
		{"no name", func(c *Config) { c.Name = "" }, "needs a name"},
		{"another role", func(c *Config) { c.Role = "operator" }, `"operator"`},
		{"no address", func(c *Config) { c.Bind = "" }, "bind address"},
		{"a name as address", func(c *Config) { c.Bind = "node1:7946" }, "IP:port"},
		{"a wrong advertise address", func(c *Config) { c.Advertise = "10.0.0.1" }, "advertise address"},
		{"another preset", func(c *Config) { c.Preset = "wan" }, `"wan"`},
		{"an endless address", func(c *Config) { c.RPCAddress = strings.Repeat("x", 600) }, "too long"},
		{"no logger", func(c *Config) { c.Log = nil }, "logger"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.spoil(&c)
			_, err := Join(t.Context(), c)
			if ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an Invalid error that says %q", err, test.says)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gossip.key")
	if err := key.Save(file); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadKey(file); err != nil || string(got) != string(key) {
		t.Errorf("the key does not come back: %v", err)
	}
	if err := key.Save(file); err == nil {
		t.Error("a key was replaced: every member would be locked out")
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(file); ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key open to all: %v, want an Invalid error", err)
	}
	short := filepath.Join(t.TempDir(), "short.key")
	if err := os.WriteFile(short, []byte("c2hvcnQ="), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(short); ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), short) || strings.Contains(err.Error(), "c2hv") {
		t.Errorf("a short key: %v, want an Invalid error that names the file and not the key", err)
	}
	if _, err := LoadKey(file + ".missing"); ha.KindOf(err) != ha.Invalid {
		t.Errorf("no key file: %v, want an Invalid error", err)
	}
}

func TestAKeyPrintsNothingOfItself(t *testing.T) {
	key := newHall(t).key
	c := Config{Name: "node1", Key: key}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("config", "key", key, "config", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("config", "key", key, "config", Config{Key: key})
	asJSON, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(asJSON) + fmt.Sprintf("%v %+v %#v %s %v %+v %#v", key, key, key, key, c, c, c)
	for _, form := range []string{"%d", "%x", "%q"} {
		if text := fmt.Sprintf(form, []byte(key)[:6]); strings.Contains(all, strings.Trim(text, `[]"`)) {
			t.Errorf("%s of the key is in %s", form, all)
		}
	}
}

// Real sockets: members find a coordinator, it moves, one leaves, one dies, and one with
// another key is kept out.
func TestOnLoopback(t *testing.T) {
	h := newHall(t)
	lines := make(watched, 1000)
	join := func(c Config, peers ...string) (*Gossip, string) {
		t.Helper()
		c.Bind, c.Peers, c.Preset = "127.0.0.1:0", peers, Local
		if c.Key == nil {
			c.Key = h.key
		}
		if c.Log == nil {
			c.Log = slog.New(slog.DiscardHandler)
		}
		g, err := Join(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { kill(t, g) })
		return g, g.list.LocalNode().Address()
	}
	observer := agent("node1")
	observer.Log = slog.New(slog.NewTextHandler(lines, nil))
	a, at := join(observer)
	lines.await(t, "joined", "member=node1")

	b, _ := join(agent("node2"), at)
	lines.await(t, "joined", "member=node2")
	mover, oldLines := coordinator("127.0.0.1:1111"), make(watched, 1000)
	mover.Log = slog.New(slog.NewTextHandler(oldLines, nil))
	old, _ := join(mover, at)
	lines.await(t, "joined", "member=home")
	oldLines.await(t, "joined", "member=node1") // both ways
	if diff := cmp.Diff([]string{"127.0.0.1:1111"}, a.Coordinators()); diff != "" {
		t.Errorf("coordinators (-want +got):\n%s", diff)
	}

	if err := old.Leave(10 * time.Second); err != nil {
		t.Error(err)
	}
	lines.await(t, "left", "member=home")
	join(coordinator("127.0.0.1:2222"), at)
	lines.await(t, "joined", "member=home")
	if diff := cmp.Diff([]string{"127.0.0.1:2222"}, a.Coordinators()); diff != "" {
		t.Errorf("coordinators after it moved (-want +got):\n%s", diff)
	}

	stranger := agent("node3")
	stranger.Key = newHall(t).key
	c, _ := join(stranger)
	if _, err := c.list.Join([]string{at}); err == nil {
		t.Error("a member with another key was let in")
	}

	kill(t, b)
	lines.await(t, "died", "member=node2")
	wantStates(t, "in the end", a, "coordinator home alive", "agent node1 alive", "agent node2 dead")
}

// watched hands over each line that is logged.
type watched chan string

func (w watched) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

// await reads lines until one has all the words.
func (w watched) await(t *testing.T, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		select {
		case line := <-w:
			missing := func(word string) bool { return !strings.Contains(line, word) }
			if !missing(words[0]) && !missing(words[len(words)-1]) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("the log never said %q", words)
		}
	}
}
