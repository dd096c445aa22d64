package rpc

import (
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The convert files translate between pkg/ha and protobuf, and do nothing else. Encoding
// cannot fail. Decoding can, because a peer may send text that names no guest and no
// address; a decoder remembers the first such fault, so that a message is decoded in one
// expression. Messages and values share no memory. What decodes to a list is never nil:
// empty lists are [] in JSON.

// A decoder turns messages into values. After the last one, err is the first fault.
type decoder struct{ err error }

// decode runs one conversion and returns its fault as an Invalid error.
func decode[M, T any](m M, convert func(*decoder, M) T) (T, error) {
	var d decoder
	v := convert(&d, m)
	return v, d.err
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) sid(s string) ha.SID {
	if s == "" {
		return ha.SID{}
	}
	sid, err := ha.ParseSID(s)
	if err != nil {
		d.fail(err)
	}
	return sid
}

func (d *decoder) addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		d.fail(ha.Errorf(ha.Invalid, "%q is not an IP address", s))
	}
	return a
}

func encodeSID(s ha.SID) string {
	if s.IsZero() {
		return ""
	}
	return s.String()
}

func encodeAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (d *decoder) prefix(s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		d.fail(ha.Errorf(ha.Invalid, "%q is not a network", s))
	}
	return p
}

func encodePrefix(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func encodeTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func decodeTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func encodeDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func encodeInt(n *int) *int64 {
	if n == nil {
		return nil
	}
	return proto.Int64(int64(*n))
}

func decodeInt(n *int64) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

// each converts a list. The result is never nil.
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, len(list))
	for k, v := range list {
		out[k] = convert(v)
	}
	return out
}

// words copies a list of texts into one of another string type. The result is never nil.
func words[B, A ~string](list []A) []B { return each(list, func(s A) B { return B(s) }) }

// numbers copies a list of integers into one of another type. The result is never nil.
func numbers[B, A ~int | ~int64](list []A) []B { return each(list, func(n A) B { return B(n) }) }

// legible returns m with every text in it made valid UTF-8. Protobuf refuses to send
// anything else, and one odd byte in a mount option or a command's output must not blind
// the coordinator to a whole node.
//
// Whether there is one, the encoder says fastest: looking at every text through protobuf's
// reflection builds tables that take more memory than all reports together.
func legible[M proto.Message](m M) M {
	if _, err := proto.Marshal(m); err != nil {
		mend(m.ProtoReflect())
	}
	return m
}

func mend(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
			panic("rpc: a map in " + string(f.FullName()) + ": mend does not look into maps")
		case f.Kind() == protoreflect.StringKind && f.IsList():
			list := v.List()
			for k := range list.Len() {
				if s := list.Get(k).String(); !utf8.ValidString(s) {
					list.Set(k, protoreflect.ValueOfString(valid(s)))
				}
			}
		case f.Kind() == protoreflect.StringKind:
			if s := v.String(); !utf8.ValidString(s) {
				m.Set(f, protoreflect.ValueOfString(valid(s)))
			}
		case f.Kind() == protoreflect.MessageKind && f.IsList():
			list := v.List()
			for k := range list.Len() {
				mend(list.Get(k).Message())
			}
		case f.Kind() == protoreflect.MessageKind:
			mend(v.Message())
		}
		return true
	})
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
