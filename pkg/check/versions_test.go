package check

import (
	"slices"
	"testing"
)

func TestVersionsAreOrderedAsPackagesAre(t *testing.T) {
	ordered := []string{"", "8.4.1", "9.0.0~2", "9.0.0", "9.0.0-1", "9.2.9", "9.2.11", "9.10.0", "10.0"}
	shuffled := slices.Clone(ordered)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, compareVersion)
	if !slices.Equal(shuffled, ordered) {
		t.Errorf("ordered as %q, want %q", shuffled, ordered)
	}
	for _, v := range ordered {
		if compareVersion(v, v) != 0 {
			t.Errorf("%q is not equal to itself", v)
		}
	}
}
