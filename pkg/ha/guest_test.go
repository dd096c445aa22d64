package ha

import (
	"cmp"
	"testing"

	"pgregory.net/rapid"
)

// The HA manager sorts service ids as text; so do we, without writing the text.
func TestSIDsSortAsText(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) SID {
		return SID{Kind: rapid.SampledFrom([]GuestKind{VM, CT}).Draw(t, "kind"), ID: rapid.IntRange(1, 2000).Draw(t, "id")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if got, want := a.Compare(b), cmp.Compare(a.String(), b.String()); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
	})
}

func TestParseSID(t *testing.T) {
	for _, ok := range []string{"vm:100", "ct:1"} {
		if s, err := ParseSID(ok); err != nil || s.String() != ok {
			t.Errorf("%s reads as %v, %v", ok, s, err)
		}
	}
	for _, bad := range []string{"", "vm", "vm:", "vm:-1", "vm:0", "qemu:100", "100", "vm:1:2"} {
		if s, err := ParseSID(bad); err == nil || KindOf(err) != Invalid {
			t.Errorf("%q reads as %v, %v", bad, s, err)
		}
	}
}
