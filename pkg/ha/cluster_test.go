package ha_test

import (
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The command shown for a storage that is changed does all that is done: what is taken away,
// a restriction to some nodes or its mount options, as well.
func TestTheCommandOfAChangedStorageTellsAllOfIt(t *testing.T) {
	want := ha.Storage{Name: "nas", Type: "nfs", Content: []string{"images", "rootdir"}}
	for text, was := range map[string]ha.Storage{
		"pvesm set nas --content images,rootdir --disable 0":                        {Name: "nas", Disabled: true},
		"pvesm set nas --content images,rootdir --disable 0 --delete nodes":         {Name: "nas", Nodes: []ha.NodeName{"node1"}},
		"pvesm set nas --content images,rootdir --disable 0 --delete nodes,options": {Name: "nas", Nodes: []ha.NodeName{"node1"}, Options: "soft"},
	} {
		if got := (ha.PutStorage{Storage: want, Was: was}).Command(); got != text {
			t.Errorf("%s\nwant\n%s", got, text)
		}
	}
}
