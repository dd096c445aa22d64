package pvesim

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// large is a cluster of many nodes and guests, all under HA.
func large(nodes, guests int) Spec {
	spec := Spec{
		Storages: []StorageSpec{{ID: "nas"}},
		Tokens:   []TokenSpec{{User: "root@pam", ID: "lab", Secret: "x"}},
	}
	for n := range nodes {
		spec.Nodes = append(spec.Nodes, NodeSpec{Name: fmt.Sprintf("pve%03d", n), Memory: 1 << 40, CPUs: 64})
	}
	for id := 1000; id < 1000+guests; id++ {
		spec.Guests = append(spec.Guests, GuestSpec{ID: id, Node: spec.Nodes[id%nodes].Name, Running: true})
		spec.Resources = append(spec.Resources, ResourceSpec{SID: fmt.Sprintf("vm:%d", id)})
	}
	return spec
}

var sizes = [][2]int{{3, 20}, {32, 2000}, {100, 10000}}

// BenchmarkMinute is a minute in the life of a cluster: six rounds of every daemon.
func BenchmarkMinute(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			c := New(large(size[0], size[1]))
			now := c.clock.epoch
			for b.Loop() {
				now = now.Add(time.Minute)
				c.mu.Lock()
				c.clock.catchUp(now)
				c.mu.Unlock()
			}
		})
	}
}

// BenchmarkClusterResources is one GET /cluster/resources.
func BenchmarkClusterResources(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			client := &http.Client{Transport: New(large(size[0], size[1])).Transport()}
			for b.Loop() {
				req, err := http.NewRequest("GET", "https://pve000/api2/json/cluster/resources", nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "PVEAPIToken=root@pam!lab=x")
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil || n < 1000 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
