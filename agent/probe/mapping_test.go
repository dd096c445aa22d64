package probe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A mapping names a device for each node that has one; sections may have a type before
// the ID, and a node may have several devices.
func TestMappings(t *testing.T) {
	got := parseMappings("# by hand\ngpu1\n\tdescription two of them\n\tmap id=10de:2504,iommugroup=14,node=node2,path=0000:01:00\n" +
		"\tmap id=10de:2504,iommugroup=15,node=node2,path=0000:02:00\n\tmap id=10de:2504,node=node1,path=0000:01:00\n\npci: tpu\n\tmap node=node3,path=0000:05:00\nempty\n")
	want := map[string][]ha.NodeName{"gpu1": {"node1", "node2"}, "tpu": {"node3"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mappings (-want +got):\n%s", diff)
	}
}

func TestWhatAGuestMaps(t *testing.T) {
	c := parseGuestConfig(ha.MustSID("vm:100"), "cpu: x86-64-v3,flags=+aes\nusb0: mapping=key1\nhostpci0: mapping=gpu1,pcie=1\nhostpci1: 0000:03:00\n", nil)
	want := []ha.MappedDevice{{Kind: "pci", ID: "gpu1"}, {Kind: "usb", ID: "key1"}}
	if diff := cmp.Diff(want, c.Mapped); diff != "" || c.CPU != "x86-64-v3" {
		t.Errorf("cpu %q, mapped (-want +got):\n%s", c.CPU, diff)
	}
}
