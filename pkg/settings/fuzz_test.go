package settings

import (
	"strings"
	"testing"
)

// A line is an assignment or a fault, never both; what is assigned stands in the text.
func FuzzFile(f *testing.F) {
	for _, text := range []string{"PSW_HA_NODE=node1\n", "# x\n;y\nA=\"b \\\" c\"\nB='d'\n", "export A=b\n", "A=b \\\n c\n", "A=\"\n", "=\n", "A=\\", "\\\n\\\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, l := range parse(text) {
			if l.number <= last || l.number > strings.Count(text, "\n")+1 {
				t.Errorf("line %d after %d of %q", l.number, last, text)
			}
			last = l.number
			if l.err == nil && (!validKey.MatchString(l.key) || !strings.Contains(text, l.key)) {
				t.Errorf("%+v", l)
			}
			if len(l.value) > len(text) {
				t.Errorf("%q is more than there was: %q", l.value, text)
			}
		}
	})
}
