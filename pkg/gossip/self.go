package gossip

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/hashicorp/memberlist"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// card is what every member tells of itself, in JSON: memberlist carries 512 bytes.
type card struct {
	Name       string `json:"name"`
	Role       string `json:"role"`
	RPCAddress string `json:"rpc,omitempty"`
}

// self is what we tell the others, and what they tell us; memberlist asks it as a Delegate.
type self struct {
	instance string // our name in memberlist
	card     []byte
	table    *table
}

func newSelf(c Config, t *table) (*self, error) {
	b, err := json.Marshal(card{Name: c.Name, Role: c.Role, RPCAddress: c.RPCAddress})
	if err != nil {
		return nil, err
	}
	if len(b) > memberlist.MetaMaxSize {
		return nil, ha.Errorf(ha.Invalid, "gossip name %q and address %q are too long: %d bytes, want at most %d",
			c.Name, c.RPCAddress, len(b), memberlist.MetaMaxSize)
	}
	instance, err := newInstance(c)
	if err != nil {
		return nil, err
	}
	return &self{instance: instance, card: b, table: t}, nil
}

// newInstance makes a name in memberlist that no earlier run had: a coordinator that is
// started on another node is then a new member at once, and need not wait until the one it
// was is given up.
func newInstance(c Config) (string, error) {
	b := make([]byte, 6)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return c.Role + "." + c.Name + "." + hex.EncodeToString(b), nil
}

// NodeMeta is our card.
func (s *self) NodeMeta(int) []byte { return s.card }

// NotifyMsg is a member's goodbye: the name of its instance.
func (s *self) NotifyMsg(b []byte) { s.table.goodbye(string(b)) }

// The rest of a Delegate: we broadcast nothing and share no state.

func (s *self) GetBroadcasts(_, _ int) [][]byte { return nil }
func (s *self) LocalState(bool) []byte          { return nil }
func (s *self) MergeRemoteState([]byte, bool)   {}

// noise takes what memberlist logs, all of it at Debug: what matters of it the table says.
type noise struct{ log *slog.Logger }

func (n noise) Write(b []byte) (int, error) {
	n.log.Debug("memberlist", "says", strings.TrimSpace(string(b)))
	return len(b), nil
}
