package rpc

import (
	"encoding/json"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// factsSizeMax bounds a snapshot on its way to an operator: as JSON one of 10,000 guests
// has about 10 MB. Only what the coordinator sends may be as large.
const factsSizeMax = 64 << 20

// encodeSnapshot writes a snapshot as it is saved: the one thing that does not travel as a
// message, because who asks for it keeps it in a file.
func encodeSnapshot(s ha.Snapshot) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, ha.Errorf(ha.Internal, "the snapshot cannot be written as JSON: %v", err)
	}
	return text, nil
}

func (d *decoder) snapshot(text []byte) ha.Snapshot {
	var s ha.Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		d.fail(ha.Errorf(ha.Invalid, "the coordinator's facts cannot be read: %v", err))
	}
	return s
}
