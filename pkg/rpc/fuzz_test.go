package rpc

import (
	"testing"

	"google.golang.org/protobuf/proto"

	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// Whatever an agent that is not ours sends: it is a report that can be sent on, or an error,
// and what is read twice is the same.
func FuzzReport(f *testing.F) {
	raw, err := proto.Marshal(encodeReport(busyReport()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m hav1.Report
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		r, err := decode(&m, (*decoder).report)
		if err != nil {
			return
		}
		if _, err := decode(encodeReport(r), (*decoder).report); err != nil {
			t.Errorf("it was read, and cannot be read again: %v", err)
		}
	})
}
