package ha

import "testing"

// A maintenance only goes the ways of the picture; anything else is a bug that must stop.
func TestPhasesGoTheirWay(t *testing.T) {
	m := Maintenance{ID: "m", Phase: Requested}
	for _, p := range []Phase{Draining, Drained, Draining, Drained, Restoring, Ended} {
		m = m.Advance(p)
	}
	for from := range phaseChanges {
		for to := range phaseChanges {
			m := Maintenance{ID: "m", Phase: from}
			panicked := func() (p bool) {
				defer func() { p = recover() != nil }()
				m.Advance(to)
				return
			}()
			if panicked == m.CanAdvance(to) {
				t.Errorf("%s => %s: CanAdvance says %v, Advance panics: %v", from, to, m.CanAdvance(to), panicked)
			}
		}
	}
	if (Maintenance{Phase: Ended}).CanAdvance(Draining) {
		t.Error("an ended maintenance began again")
	}
}
