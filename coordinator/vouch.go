package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Mute stores that operators want to hear no more of a finding for a time. What there is
// to mute now is its mark: when it becomes worse, the mute is over.
func (c *Coordinator) Mute(ctx context.Context, r ha.MuteRequest) (ha.Mute, error) {
	switch {
	case !check.Known(r.Code):
		return ha.Mute{}, ha.Errorf(ha.Invalid, "there is no check %q: docs/checks.md lists them all", r.Code)
	case r.For <= 0 || r.For > ha.MuteMax:
		return ha.Mute{}, ha.Errorf(ha.Invalid, "a mute lasts for up to %d days, not for %s", int(ha.MuteMax.Hours()/24), r.For)
	}
	s, err := c.latest(ctx)
	if err != nil {
		return ha.Mute{}, err
	}
	verdict := check.Judge(s, ha.CheckRequest{Profile: check.Production})
	if r.Subject != "" {
		var judged []string
		for _, f := range verdict.Findings {
			if f.Code == r.Code {
				judged = append(judged, f.Subject)
			}
		}
		if len(judged) > 0 && !slices.Contains(judged, r.Subject) {
			return ha.Mute{}, ha.Errorf(ha.NotFound, "%s is not judged of %q; it is of %s", r.Code, r.Subject, strings.Join(judged, ", "))
		}
	}
	m := check.MutedAt(ha.Mute{Code: r.Code, Subject: r.Subject, Until: s.At.Add(r.For), By: r.By, At: s.At, Message: r.Message}, verdict)
	text := fmt.Sprintf("%s mutes %s until %s", someone(r.By), muted(m), m.Until.Format("2006-01-02 15:04 MST"))
	if r.Message != "" {
		text += ": " + r.Message
	}
	return m, c.change(s.At, func(tx *store.Tx) error {
		if err := tx.PutMute(m); err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventVouched, Text: text})
	})
}

func muted(m ha.Mute) string {
	if m.Subject == "" {
		return string(m.Code)
	}
	return string(m.Code) + " of " + m.Subject
}

// Unmute ends the mutes of a code, or with a subject only the one of that subject, and
// returns them. NotFound if there are none.
func (c *Coordinator) Unmute(_ context.Context, code ha.Code, subject, by string) ([]ha.Mute, error) {
	var gone []ha.Mute
	for _, m := range c.store.Mutes() {
		if m.Code == code && (subject == "" || m.Subject == subject) {
			gone = append(gone, m)
		}
	}
	if len(gone) == 0 {
		return nil, ha.Errorf(ha.NotFound, "nobody has muted %s; `psw ha mute list` shows what is", muted(ha.Mute{Code: code, Subject: subject}))
	}
	return gone, c.change(time.Now(), func(tx *store.Tx) error {
		for _, m := range gone {
			if err := tx.RemoveMute(m); err != nil {
				return err
			}
			if err := tx.Journal(ha.Event{Type: ha.EventVouched, Text: fmt.Sprintf("%s ends the mute of %s", someone(by), muted(m))}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Mutes returns what is muted now, by code and subject.
func (c *Coordinator) Mutes(context.Context) ([]ha.Mute, error) {
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(c.store.Mutes()), func(m ha.Mute) bool { return !now.Before(m.Until) }), nil
}

// overMute is a mute that has ended, and what the journal says of it.
type overMute struct {
	mute  ha.Mute
	event ha.Event
}

// mutesOver are the mutes whose time is over, or whose trouble has become worse.
func (c *Coordinator) mutesOver(r ha.Readiness, at time.Time) []overMute {
	var over []overMute
	for _, m := range c.store.Mutes() {
		why := ""
		if !at.Before(m.Until) {
			why = "its time is over"
		} else if worse := m.Worse(r.Findings); worse != "" {
			why = "it has become worse, " + worse
		}
		if why != "" {
			over = append(over, overMute{m, ha.Event{Type: ha.EventVouched,
				Text: fmt.Sprintf("the mute of %s by %s has ended: %s", muted(m), someone(m.By), why)}})
		}
	}
	return over
}

// Acknowledge stores an operator's word for what no probe can see.
func (c *Coordinator) Acknowledge(ctx context.Context, a ha.Acknowledgement) (ha.Acknowledgement, error) {
	item, ok := ha.FindAckItem(a.Item)
	if !ok {
		names := make([]string, len(ha.AckItems))
		for k, i := range ha.AckItems {
			names[k] = i.Name
		}
		return a, ha.Errorf(ha.Invalid, "there is no item %q to acknowledge; there are %s", a.Item, strings.Join(names, ", "))
	}
	if a.Node != "" {
		s, err := c.latest(ctx)
		switch {
		case err != nil:
			return a, err
		case !item.PerNode:
			return a, ha.Errorf(ha.Invalid, "%s is about the whole cluster (%s): name no node", item.Name, item.Title)
		case !known(s, a.Node):
			return a, ha.Errorf(ha.NotFound, "the cluster has no node %q", a.Node)
		}
	}
	a.At = time.Now().UTC()
	text := fmt.Sprintf("%s vouches for %s: %s", someone(a.By), ackPlace(a), item.Title)
	if a.Note != "" {
		text += " (" + a.Note + ")"
	}
	return a, c.change(a.At, func(tx *store.Tx) error {
		if err := tx.PutAcknowledgement(a); err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventVouched, Node: a.Node, Text: text})
	})
}

func ackPlace(a ha.Acknowledgement) string {
	if a.Node == "" {
		return "the whole cluster"
	}
	return string(a.Node)
}

// Withdraw takes an acknowledgement back. NotFound if nobody gave it.
func (c *Coordinator) Withdraw(_ context.Context, a ha.Acknowledgement) error {
	if !slices.ContainsFunc(c.store.Acknowledgements(), func(b ha.Acknowledgement) bool { return a.Compare(b) == 0 }) {
		return ha.Errorf(ha.NotFound, "nobody has vouched for %s of %s; `psw ha ack list` shows what is", a.Item, ackPlace(a))
	}
	return c.change(time.Now(), func(tx *store.Tx) error {
		if err := tx.RemoveAcknowledgement(a); err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventVouched, Node: a.Node, Text: fmt.Sprintf("%s withdraws what was vouched for %s: %s", someone(a.By), ackPlace(a), a.Item)})
	})
}

// Acknowledgements returns what operators vouch for, by item and node, stale ones included.
func (c *Coordinator) Acknowledgements(context.Context) ([]ha.Acknowledgement, error) {
	return slices.Clone(c.store.Acknowledgements()), nil
}
