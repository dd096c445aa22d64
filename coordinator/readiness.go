package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// acceptedText says in one sentence for the journal what somebody accepted; "" for nothing.
func acceptedText(by string, accepted []ha.Blocker) string {
	if len(accepted) == 0 {
		return ""
	}
	parts := make([]string, len(accepted))
	for k, b := range accepted {
		parts[k] = fmt.Sprintf("%s of %s (%s)", b.Code, b.Subject, b.Reason)
	}
	return fmt.Sprintf("%s goes on although HA is not ready, and accepts %s", someone(by), strings.Join(parts, ", "))
}

// profiles are what is published, in this order.
var profiles = []string{check.Minimum, check.Production}

// Check judges readiness by what is known at this moment. An operator who asks is shown
// the present truth, with since when it is so; what is published of it stands beside.
// A check of the whole is recorded.
func (c *Coordinator) Check(ctx context.Context, r ha.CheckRequest) (ha.Readiness, error) {
	if err := check.Validate(r); err != nil {
		return ha.Readiness{}, err
	}
	s, err := c.latest(ctx)
	if err != nil {
		return ha.Readiness{}, err
	}
	if r.Policy != nil {
		s.Policy = *r.Policy
	}
	profile := cmp.Or(r.Profile, check.Minimum)
	verdict := c.seen.Load().published[profile].Since(check.Judge(s, r))
	verdict = check.Mute(verdict, c.store.Mutes(), s.At)
	var unrecorded error
	if len(r.Only) == 0 && r.Target == "" {
		unrecorded = errors.Join(c.meet(r), c.record(r.By, profile, s, verdict))
	}
	standing := c.standing(s, profile)
	if unrecorded != nil {
		c.log.Warn("the record of a check was not stored", "profile", profile, "error", unrecorded)
		standing.Stale = append(standing.Stale, errorText(unrecorded))
	}
	verdict.Standing = &standing
	return verdict, nil
}

// meet stores the project of the first operator who has the whole judged: until then the
// published verdict has nothing to judge by. A known project is left as it is.
func (c *Coordinator) meet(r ha.CheckRequest) error {
	if _, known := c.store.Policy(); known || r.Policy == nil {
		return nil
	}
	return c.takePolicy(ha.MaintenanceRequest{Policy: r.Policy, By: r.By})
}

// record keeps the account of a whole check.
func (c *Coordinator) record(by, profile string, s ha.Snapshot, verdict ha.Readiness) error {
	built := traits(s)
	r := ha.ReadinessRecord{Profile: profile, Ready: verdict.Ready(), At: s.At, By: by, Project: s.Policy.Project, Facts: digest(built)}
	for _, f := range verdict.Findings {
		if f.Status == ha.Fail || f.Status == ha.Unknown {
			r.Failing = append(r.Failing, f.Code)
		}
		if !f.MutedUntil.IsZero() {
			r.Muted = append(r.Muted, f.Code)
		}
	}
	slices.Sort(r.Failing)
	slices.Sort(r.Muted)
	r.Failing, r.Muted = slices.Compact(r.Failing), slices.Compact(r.Muted)
	return c.change(s.At, func(tx *store.Tx) error {
		return tx.PutReadinessRecord(ha.ReadinessBasis{ReadinessRecord: r, Traits: built})
	})
}

// standing is what is known of readiness without judging anew.
func (c *Coordinator) standing(s ha.Snapshot, profile string) ha.Standing {
	p := c.seen.Load().published[profile]
	verdict := check.Mute(p.Readiness(), c.store.Mutes(), s.At)
	st := ha.Standing{At: s.At, Profile: profile, Known: p.Known(), Ready: p.Known() && verdict.Ready(), Since: c.readySince(profile),
		Warnings: verdict.Count(ha.Warn), Muted: verdict.CountMuted()}
	for _, f := range verdict.Findings {
		if (f.Status == ha.Fail || f.Status == ha.Unknown) && !slices.Contains(st.Failing, f.Code) {
			st.Failing = append(st.Failing, f.Code)
		}
	}
	if r, ok := c.store.ReadinessRecord(profile); ok {
		st.Stale = stale(r, s)
		st.Record = &r.ReadinessRecord
	}
	return st
}

// driftShown is how many changes are named: after an upgrade there are three a node.
const driftShown = 5

// stale says why a record no longer counts; nothing if it does.
func stale(r ha.ReadinessBasis, s ha.Snapshot) []string {
	var why []string
	if age := s.At.Sub(r.At); age > ha.RecordAgeMax {
		why = append(why, fmt.Sprintf("it is %d days old, and counts for %d", int(age.Hours()/24), int(ha.RecordAgeMax.Hours()/24)))
	}
	if s.Inventory.At.IsZero() || len(s.Inventory.Failures) > 0 {
		return append(why, "the cluster cannot be compared with it now: Proxmox could not be read")
	}
	changed := drift(r.Traits, traits(s))
	if more := len(changed) - driftShown; more > 0 {
		changed = append(changed[:driftShown], fmt.Sprintf("and %d more", more))
	}
	return append(why, changed...)
}

// Facts about the published verdict, which a restart must not forget.
const (
	factReady   = "ready/"   // PROFILE: yes or no, and since when
	factTrouble = "trouble/" // PROFILE/CODE/SUBJECT: WARN, UNKNOWN or FAIL, and since when
)

// readySince is since when the published verdict is what it is.
func (c *Coordinator) readySince(profile string) time.Time {
	return c.seen.Load().readySince[profile]
}

// resumeReadiness takes up what an earlier start published.
func (c *Coordinator) resumeReadiness() {
	now := time.Now().UTC()
	published, since := make(map[string]check.Published), make(map[string]time.Time)
	for _, profile := range profiles {
		_, at, known := c.facts.dated(factReady + profile)
		if !known {
			continue
		}
		var list []check.Held
		for _, key := range slices.Sorted(maps.Keys(c.facts.facts)) {
			rest, ours := strings.CutPrefix(key, factTrouble+profile+"/")
			code, subject, whole := strings.Cut(rest, "/")
			word, began, dated := c.facts.dated(key)
			if ours && whole && dated {
				list = append(list, check.Held{Finding: ha.Finding{Code: ha.Code(code), Subject: subject}, Status: ha.Status(word), Since: began})
			}
		}
		published[profile], since[profile] = check.Resume(now, at, list), at
	}
	c.publish(func(v *sight) { v.published, v.readySince = published, since })
}

// dated reads a fact that is a word and a time.
func (b *factBook) dated(key string) (word string, at time.Time, ok bool) {
	return splitDated(b.facts[key])
}

func splitDated(value string) (word string, at time.Time, ok bool) {
	word, stamp, _ := strings.Cut(value, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	return word, at, word != "" && err == nil
}

func dated(word string, at time.Time) string { return word + " " + at.UTC().Format(time.RFC3339Nano) }

// judge follows the cluster with the published verdict: it ends mutes that are over or
// worse, keeps what a restart must not forget, and journals when the verdict changes.
func (c *Coordinator) judge(s ha.Snapshot) error {
	before := c.seen.Load()
	published, since := make(map[string]check.Published), maps.Clone(before.readySince)
	if since == nil {
		since = make(map[string]time.Time)
	}
	changes := make(store.Facts)
	var events []ha.Event
	for _, profile := range profiles {
		p := before.published[profile].Step(check.Judge(s, ha.CheckRequest{Profile: profile}), s.At)
		published[profile] = p
		c.troubles(profile, p, changes)
		if !p.Known() {
			continue
		}
		verdict := p.Readiness()
		word := "no"
		if verdict.Ready() {
			word = "yes"
		}
		was, _, known := c.facts.dated(factReady + profile)
		if was != word {
			since[profile] = s.At
			changes[factReady+profile] = dated(word, s.At)
		}
		if profile == check.Minimum && known {
			events = append(events, verdictEvents(check.Mute(before.published[profile].Readiness(), c.store.Mutes(), s.At),
				check.Mute(verdict, c.store.Mutes(), s.At))...)
		}
	}
	over := c.mutesOver(published[check.Production].Readiness(), s.At)
	for _, m := range over {
		events = append(events, m.event)
	}
	if len(changes)+len(events) > 0 {
		err := c.change(s.At, func(tx *store.Tx) error {
			for _, m := range over {
				if err := tx.RemoveMute(m.mute); err != nil {
					return err
				}
			}
			if err := tx.SetFacts(changes); err != nil {
				return err
			}
			return tx.Journal(events...)
		})
		if err != nil {
			return err // what was published stays, and the next tick tries again
		}
	}
	c.facts.take(changes)
	c.logEvents(events)
	c.publish(func(v *sight) { v.published, v.readySince = published, since })
	return nil
}

// troubles notes what of the published troubles is new and what is gone.
func (c *Coordinator) troubles(profile string, p check.Published, changes store.Facts) {
	head := factTrouble + profile + "/"
	there := make(map[string]bool)
	for _, h := range p.Troubles() {
		key := head + string(h.Finding.Code) + "/" + h.Finding.Subject
		there[key] = true
		if value := dated(string(h.Status), h.Since); c.facts.facts[key] != value {
			changes[key] = value
		}
	}
	for key := range c.facts.facts {
		if strings.HasPrefix(key, head) && !there[key] {
			changes[key] = ""
		}
	}
}

// verdictEvents tells how a published verdict differs from the one before: that HA is
// ready, or that it is not and why, or why it is not besides. What is muted is no news,
// unless it turns the verdict.
func verdictEvents(before, now ha.Readiness) []ha.Event {
	failing := func(r ha.Readiness, muted bool) (list []string) {
		for _, f := range r.Findings {
			if (f.Status == ha.Fail || f.Status == ha.Unknown) && (muted || f.MutedUntil.IsZero()) {
				list = append(list, fmt.Sprintf("%s on %s", f.Code, f.Subject))
			}
		}
		return list
	}
	event := func(format string, args ...any) []ha.Event {
		return []ha.Event{{Type: ha.EventReadiness, Text: fmt.Sprintf(format, args...)}}
	}
	switch {
	case now.Ready() && before.Ready():
		return nil
	case now.Ready():
		return event("HA is ready: nothing fails and nothing is unknown")
	case before.Ready():
		return event("HA is no longer ready: %s", first(failing(now, true), 4))
	}
	known := failing(before, true)
	more := slices.DeleteFunc(failing(now, false), func(s string) bool { return slices.Contains(known, s) })
	if len(more) == 0 {
		return nil
	}
	return event("HA is not ready for more reasons: %s", first(more, 4))
}

// first joins the first n of a list, and says how many more there are.
func first(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}
