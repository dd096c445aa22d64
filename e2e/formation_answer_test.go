package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// eavesdropper is the coordinator's log, which tells the instant at which an order is on its
// way to an agent. The coordinator may be killed right then.
type eavesdropper struct{ s *site }

func (e eavesdropper) Enabled(context.Context, slog.Level) bool { return true }
func (e eavesdropper) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e eavesdropper) WithGroup(string) slog.Handler            { return e }

func (e eavesdropper) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "order given" && e.s.given != nil && e.s.given() {
		e.s.crash()
		panic(lifeEnds{})
	}
	return nil
}

// promptMax is how long forming a cluster of three takes at the most, when nothing keeps it
// waiting for an answer that does not come.
const promptMax = 4 * time.Minute

// formsPromptly forms the cluster, and fails if somebody waited for a patience to run out.
func (s *site) formsPromptly() {
	s.t.Helper()
	o := s.operate(form)
	if took := o.EndedAt.Sub(o.RequestedAt); o.Outcome != ha.OperationDone || took > promptMax {
		s.t.Errorf("%s after %s: %s\n%s", o.Outcome, took, o.Reason, steps(o))
	}
	s.ticks(10)
	s.whole(3)
}

// The coordinator is killed the moment an order is on its way, before it can note anything
// of that. Either the agent carries it out and answers whoever is started next, which knows
// what the answer is about; or it never gets the order, and is given it again.
func TestAnAnswerReachesTheNextStart(t *testing.T) {
	const orders = 7
	for k := range orders {
		for _, arrives := range []bool{true, false} {
			t.Run(fmt.Sprintf("order %d arrives %v", k+1, arrives), func(t *testing.T) {
				onASite(t, 3, func(s *site) {
					n := 0
					s.given = func() bool {
						if n++; n != k+1 {
							return false
						}
						for _, h := range s.agents {
							for arrives && len(h.orders) > 0 {
								h.arrived = append(h.arrived, <-h.orders)
							}
						}
						return true
					}
					s.formsPromptly()
					if n <= k {
						s.t.Errorf("only %d orders: nobody was killed", n)
					}
				})
			})
		}
	}
}

// The agent is killed while pvecm runs, which goes on in a unit of its own. Nobody answers,
// and its end is seen all the same.
func TestTheEndOfAJoinIsSeenWithoutAnAnswer(t *testing.T) {
	for _, both := range []bool{false, true} {
		onASite(t, 3, func(s *site) {
			s.kill = func(before bool, deed string) bool {
				if before || !strings.HasPrefix(deed, "join ") {
					return false
				}
				s.install("node2")
				s.install("node3")
				if both {
					s.crash()
				}
				return true
			}
			s.formsPromptly()
		})
	}
}

// pvecm is killed half way, and the agent and the coordinator with it, as by whoever restarts
// the node's services: that is seen long before a join's patience is over, and Proxmox's
// repair is printed.
func TestAJoinThatDiesUnheardIsRecognisedSoon(t *testing.T) {
	onASite(t, 3, func(s *site) {
		s.sim.HoldJoin("node2", pvesim.JoinCopy)
		s.kill = func(before bool, deed string) bool {
			if !before || deed != "join node2 to the cluster" {
				return false
			}
			time.AfterFunc(20*time.Second, func() { s.sim.KillJoin("node2") })
			s.crash()
			return false // the agent goes on, and nobody waits for its answer
		}
		o := s.operate(form)
		if took := o.EndedAt.Sub(o.RequestedAt); o.Outcome != ha.OperationFailed || !strings.Contains(o.Reason, "pvecm delnode node2") || took > promptMax {
			s.t.Errorf("%s after %s: %s\n%s", o.Outcome, took, o.Reason, steps(o))
		}
	})
}
