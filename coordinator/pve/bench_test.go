package pve

import (
	"encoding/json"
	"testing"
)

// BenchmarkInventory is one whole reading, from the answers' bytes to ha.Inventory.
func BenchmarkInventory(b *testing.B) {
	for _, size := range []struct {
		name          string
		guests, nodes int
	}{{"32x2000", 2000, 32}, {"100x10000", 10000, 100}} {
		b.Run(size.name, func(b *testing.B) {
			world := big(size.guests, size.nodes)
			n := 0
			for _, body := range world {
				n += len(body)
			}
			c := ours(b, routes(world))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				inv, err := c.Inventory(b.Context())
				if err != nil || len(inv.Guests) != size.guests {
					b.Fatal(len(inv.Guests), err)
				}
			}
		})
	}
}

// BenchmarkDecodeResources is the largest answer alone.
func BenchmarkDecodeResources(b *testing.B) {
	body := []byte(big(10000, 100)["GET /cluster/resources"])
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var v struct{ Data []resourceRow }
		if err := json.Unmarshal(body, &v); err != nil {
			b.Fatal(err)
		}
	}
}
