package probe

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is let into a command line is what these expressions say, to the last character and
// at every length.
func TestFormsAreTheseExpressions(t *testing.T) {
	matches := func(f Form) func(string) bool { return f.Matches }
	forms := []struct {
		name       string
		is         func(string) bool
		expression string
		prefix     string
		lengthMax  int
	}{
		{"node", matches(NodeName), `^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`, "", 63},
		{"cluster", matches(ClusterName), `^[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?$`, "", 15},
		{"host", matches(HostName), `^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$`, "", 254},
		{"user of a BMC", matches(BMCUser), `^[A-Za-z0-9._@][A-Za-z0-9._@-]{0,15}$`, "", 16},
		{"secret of a BMC", BMCSecret, `^bmc/[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`, "bmc/", 68},
		{"disk of SBD", isSBDDevice, `^/dev/[A-Za-z0-9_+:=@-][A-Za-z0-9_+:=@./-]*$`, "/dev/", 60},
		{"nonce", ProofNonce, `^[a-z0-9]{16,64}$`, "", 64},
	}
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			e := regexp.MustCompile(f.expression)
			agree := func(word string) bool {
				detour := f.prefix == "/dev/" && strings.Contains(word, "/.")
				return f.is(word) == (e.MatchString(word) && !detour)
			}
			for length := range f.lengthMax + 3 {
				for _, fill := range []string{"a", "Z", "0"} {
					if word := f.prefix + strings.Repeat(fill, max(0, length-len(f.prefix))); !agree(word) {
						t.Errorf("%q: %v", word, f.is(word))
					}
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				word := rapid.StringOfN(rapid.RuneFrom([]rune("abzAZ09-._:@+=/~ \n\x00;$'\"é")), 0, 6, -1).Draw(t, "word")
				for _, w := range []string{word, f.prefix + word, "a" + word + "z", f.prefix + "a" + word + "z", word + "0123456789abcdef"} {
					if !agree(w) {
						t.Fatalf("%q: %v", w, f.is(w))
					}
				}
			})
		})
	}
}
