package project

import (
	"errors"
	"io/fs"
	"math"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/goccy/go-yaml/ast"
)

// Bounds of what a machine can have; beyond them hardware.yml is not believed.
const (
	cpusMax      = 8192
	memoryGiBMax = 64 << 10
)

// readHardware reads a node's capacity from hardware.yml, as psw-server-inspector writes
// it: server.cpu.threads (else cores) and server.memory.total_gb. That tool rounds memory
// to the nearest common size, so 62 GiB read 64. Devices are what a target may be bound
// to. The file only adds to the project, so
// what is wrong with it is a WARN, and nil means that the capacity is unknown.
func readHardware(src *source, fsys fs.FS) (*ha.Capacity, []ha.Device) {
	data, err := readFile(fsys, src.file)
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	if err != nil {
		src.warn(place{}, hardwareFix, "%v", err)
		return nil, nil
	}
	defer src.lenient()
	root, ok := src.parse(data)
	if !ok {
		return nil, nil
	}
	devices := root.devices()
	server := root.child("server")
	cpu, memory := server.child("cpu"), server.child("memory")
	var c ha.Capacity
	for _, key := range []string{"threads", "cores"} {
		if n, ok := cpu.child(key).plainNumber(); ok && n >= 1 && n <= cpusMax && n == math.Trunc(n) {
			c.CPUs = int(n)
			break
		}
	}
	if n, ok := memory.child("total_gb").plainNumber(); ok && n > 0 && n <= memoryGiBMax {
		c.Memory = int64(n * (1 << 30))
	}
	if c.CPUs == 0 {
		src.warn(cpu.at, hardwareFix, "server.cpu has no usable threads or cores")
	}
	if c.Memory == 0 {
		src.warn(memory.at, hardwareFix, "server.memory has no usable total_gb")
	}
	if c == (ha.Capacity{}) {
		return nil, devices
	}
	return &c, devices
}

const hardwareFix = "run psw-server-inspector again; until then only a running agent knows the node's capacity"

// lenient turns the faults found so far into warnings.
func (s *source) lenient() {
	for k := range s.found {
		if s.found[k].Status == ha.Fail {
			s.found[k].Status = ha.Warn
		}
	}
}

// child looks a key up without ever complaining; the zero value if there is none. If v
// itself is there, the place is at least v's.
func (v value) child(key string) value {
	none := value{src: v.src, at: v.at}
	if v.node == nil {
		return none
	}
	n, ok := v.resolve().(ast.MapNode)
	if !ok {
		return none
	}
	for it := n.MapRange(); it.Next(); {
		if text, ok := scalarText(it.Key()); ok && text == key {
			return value{src: v.src, node: it.Value(), at: placeOf(it.Key()), path: join(v.path, key)}
		}
	}
	return none
}

// plainNumber reads a number without ever complaining.
func (v value) plainNumber() (float64, bool) {
	if v.node == nil {
		return 0, false
	}
	switch n := v.resolve().(type) {
	case *ast.IntegerNode:
		switch i := n.Value.(type) {
		case int64:
			return float64(i), true
		case uint64:
			return float64(i), true
		}
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}
