package rpc

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A filler sets every field to a value that occurs nowhere else.
type filler struct{ n int }

func (f *filler) fill(t *testing.T, name string, v reflect.Value) {
	f.n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(int64(1e9+f.n), int64(f.n)).UTC()
		return
	case *ha.SID:
		*x = ha.SID{Kind: ha.VM, ID: f.n}
		return
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{10, 0, byte(f.n >> 8), byte(f.n)})
		return
	case *netip.Prefix:
		*x = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(f.n >> 8), byte(f.n), 0}), 24)
		return
	case *ha.OrderDeed:
		*x = deeds[0]
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Uint64:
		v.SetUint(uint64(f.n))
	case reflect.Float64:
		v.SetFloat(float64(f.n))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", f.n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(t, name, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(t, name, v.Index(0))
		f.fill(t, name, v.Index(1))
	case reflect.Struct:
		for field, value := range v.Fields() {
			if full := v.Type().String() + "." + field.Name; stayHome[full] == "" {
				f.fill(t, full, value)
			}
		}
	default:
		t.Fatalf("%s: a filler does not know %s", name, v.Type())
	}
}

// leaveHome clears the fields of a struct, and of those in it, that do not travel.
func leaveHome(v reflect.Value) {
	for field, value := range v.Fields() {
		switch {
		case stayHome[v.Type().String()+"."+field.Name] != "":
			value.SetZero()
		case field.Type == reflect.TypeFor[ha.Operation]():
			leaveHome(value)
		case field.Type == reflect.TypeFor[[]ha.OperationView]():
			for k := range value.Len() {
				leaveHome(value.Index(k))
			}
		}
	}
}

// wantAllSet demands that every field of a message is set, and one of each oneof.
func wantAllSet(t *testing.T, m protoreflect.Message) {
	t.Helper()
	d := m.Descriptor()
	if d.FullName().Parent() == "google.protobuf" {
		return
	}
	for k := range d.Fields().Len() {
		f := d.Fields().Get(k)
		if o := f.ContainingOneof(); o != nil && m.WhichOneof(o) != nil && m.WhichOneof(o) != f {
			continue
		}
		switch {
		case !m.Has(f):
			t.Errorf("nothing sets %s", f.FullName())
		case f.Kind() == protoreflect.MessageKind && f.IsList():
			wantAllSet(t, m.Get(f).List().Get(0).Message())
		case f.Kind() == protoreflect.MessageKind:
			wantAllSet(t, m.Get(f).Message())
		}
	}
}
