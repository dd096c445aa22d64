package pve

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestParseUPID(t *testing.T) {
	u, err := ParseUPID("UPID:pve2:00000DE6:0004ECAB:6B00E143:hamigrate:100:root@pam!lab:")
	if err != nil {
		t.Fatal(err)
	}
	want := UPID{
		Node: "pve2", PID: 0xDE6, PStart: 0x4ECAB, Started: time.Unix(0x6B00E143, 0).UTC(), Type: "hamigrate",
		ID: "100", User: "root@pam!lab", text: "UPID:pve2:00000DE6:0004ECAB:6B00E143:hamigrate:100:root@pam!lab:",
	}
	if u != want {
		t.Errorf("got %+v", u)
	}
	if u, err := ParseUPID("UPID:pve1:000005EC:000AD5C5:6B00F064:bulk-start::root@pam!lab:"); err != nil || u.ID != "" {
		t.Errorf("a task about nothing: %+v, %v", u, err)
	}
}

// Whatever comes where a UPID should be is an error, and never reaches a request's path.
func TestParseUPIDRefuses(t *testing.T) {
	for _, s := range []string{
		"", "UPID:", "OK", "UPID:a:b:c:d:e:f", "UPID:pve1:1:2:3:qmstart:100", "UPID:pve1:1:2:3:qmstart:100:root@pam",
		"UPID:../..:00000001:00000001:00000001:qmstart:100:root@pam:", "UPID:pve1:xx:00000001:00000001:qmstart:100:root@pam:",
		"UPID:pve1:00000001:00000001:00000001:qm/start:100:root@pam:", "UPID:pve1:00000001:00000001:00000001::100:root@pam:",
		"UPID:pve1:00000001:00000001:00000001:qmstart:100::", "UPID:-pve1:00000001:00000001:00000001:qmstart:100:root@pam:",
		"UPID:pve1:00000001:00000001:00000001:qmstart:100:root@pam:more",
	} {
		if u, err := ParseUPID(s); ha.KindOf(err) != ha.Invalid {
			t.Errorf("%q: %+v, %v", s, u, err)
		}
	}
}

func FuzzParseUPID(f *testing.F) {
	f.Add("UPID:pve2:00000DE6:0004ECAB:6B00E143:hamigrate:100:root@pam!lab:")
	f.Add("UPID:a:b:c:d:e:f")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUPID(s)
		if err == nil && (u.String() != s || strings.ContainsAny(taskPath(u)[len("/nodes/"):], " ?#") || strings.Count(taskPath(u), "/") != 4) {
			t.Errorf("%q became the path %s", s, taskPath(u))
		}
	})
}
