package rpc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// The fields that do not travel, because the server knows better.
var stayHome = map[string]string{
	"ha.Report.Received":       "the coordinator's clock says when a report arrived",
	"ha.MaintenanceRequest.By": "the client's certificate says who asks",
	"ha.CheckRequest.By":       "the client's certificate says who asks",
	"ha.MuteRequest.By":        "the client's certificate says who asks",
	"ha.OperationRequest.By":   "the client's certificate says who asks",
	"ha.Operation.Policy":      "whoever asks has the project already",
	"ha.ProofRequest.By":       "the client's certificate says who asks",
	"ha.PowerOffRequest.By":    "the client's certificate says who asks",
}

// deeds are the variants of ha.OrderDeed; TestEveryDeedIsAMessage keeps the list complete.
var deeds = []ha.OrderDeed{
	ha.SetNodeMaintenance{Node: "node3", On: true},
	ha.ProveStorage{Path: "/mnt/shared", Nonce: "abcdefghijklmnop", Deed: ha.ProofWrite},
	ha.PowerStatus{Node: "node1", Address: netip.MustParseAddr("10.20.0.11"), Secret: "bmc/node1"},
	ha.CutPower{Node: "node1", Address: netip.MustParseAddr("10.20.0.11"), Secret: "bmc/node1"},
	ha.CreateCluster{Node: "node1", Name: "home", Links: addrs("10.10.0.1", "10.20.0.1")},
	ha.AuthorizeJoin{On: "node1", Node: "node2", Keys: []string{"ssh-rsa AAAA"}, From: addrs("10.10.0.2"), For: 10 * time.Minute},
	ha.JoinCluster{Node: "node2", Peer: netip.MustParseAddr("10.10.0.1"), PeerKeys: []string{"ssh-rsa AAAB"}, Links: addrs("fd00::2")},
	ha.RevokeJoin{On: "node1", Node: "node2", Joined: true},
	ha.SetupQDevice{On: "node1", Host: "10.10.0.60"},
	ha.RemoveQDevice{On: "node1"},
	ha.RemoveClusterNode{On: "node1", Node: "node3"},
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// A trip is one type's way over the network and back.
type trip struct {
	travel func(any) (any, error)
	encode func(any) proto.Message
	draw   func(*rapid.T) any
}

// trips holds a trip for every type that the methods of Backend mention.
var trips = map[reflect.Type]trip{
	reflect.TypeFor[ha.Hello]():              tripOf(encodeHello, (*decoder).hello),
	reflect.TypeFor[ha.Welcome]():            tripOf(encodeWelcome, (*decoder).welcome),
	reflect.TypeFor[ha.Report]():             tripOf(encodeReport, (*decoder).report),
	reflect.TypeFor[ha.Order]():              tripOf(encodeOrder, (*decoder).order),
	reflect.TypeFor[ha.OrderResult]():        tripOf(encodeOrderResult, (*decoder).orderResult),
	reflect.TypeFor[ha.ClusterStatus]():      tripOf(encodeClusterStatus, (*decoder).clusterStatus),
	reflect.TypeFor[ha.CheckRequest]():       tripOf(encodeCheckRequest, (*decoder).checkRequest),
	reflect.TypeFor[ha.Readiness]():          tripOf(encodeReadiness, (*decoder).readiness),
	reflect.TypeFor[ha.Policy]():             tripOf(encodePolicyValue, decodePolicyValue),
	reflect.TypeFor[ha.PlanView]():           tripOf(encodePlanView, (*decoder).planView),
	reflect.TypeFor[ha.MaintenanceRequest](): tripOf(encodeMaintenanceRequest, (*decoder).maintenanceRequest),
	reflect.TypeFor[ha.Preview]():            tripOf(encodePreview, (*decoder).preview),
	reflect.TypeFor[ha.Maintenance]():        tripOf(encodeMaintenance, (*decoder).maintenance),
	reflect.TypeFor[ha.MaintenanceView]():    tripOf(encodeMaintenanceView, (*decoder).maintenanceView),
	reflect.TypeFor[ha.OperationRequest]():   tripOf(encodeOperationRequest, (*decoder).operationRequest),
	reflect.TypeFor[ha.OperationPreview]():   tripOf(encodeOperationPreview, (*decoder).operationPreview),
	reflect.TypeFor[ha.Operation]():          tripOf(encodeOperation, (*decoder).operation),
	reflect.TypeFor[ha.OperationView]():      tripOf(encodeOperationView, (*decoder).operationView),
	reflect.TypeFor[ha.Event]():              tripOf(encodeEvent, (*decoder).event),
	reflect.TypeFor[ha.MuteRequest]():        tripOf(encodeMuteRequest, (*decoder).muteRequest),
	reflect.TypeFor[ha.Mute]():               tripOf(encodeMute, (*decoder).mute),
	reflect.TypeFor[ha.Acknowledgement]():    tripOf(encodeAcknowledgement, (*decoder).acknowledgement),
	reflect.TypeFor[ha.Explanation]():        tripOf(encodeExplanation, (*decoder).explanation),
	reflect.TypeFor[ha.Snapshot]():           tripOf(encodeFacts, decodeFacts),
	reflect.TypeFor[ha.Proof]():              tripOf(encodeProof, (*decoder).proof),
	reflect.TypeFor[ha.ProofResult]():        tripOf(encodeProofResult, (*decoder).proofResult),
	reflect.TypeFor[ha.ProofRequest]():       tripOf(encodeProofRequest, (*decoder).proofRequest),
	reflect.TypeFor[ha.PowerOffRequest]():    tripOf(encodePowerOffRequest, (*decoder).powerOffRequest),
}

func decodeFacts(d *decoder, m *hav1.FactsResponse) ha.Snapshot {
	return d.snapshot(m.GetSnapshotJson())
}

func encodeFacts(s ha.Snapshot) *hav1.FactsResponse {
	text, err := encodeSnapshot(s)
	if err != nil {
		panic(err)
	}
	return &hav1.FactsResponse{SnapshotJson: text}
}

func encodePolicyValue(p ha.Policy) *hav1.Policy             { return encodePolicy(&p) }
func decodePolicyValue(d *decoder, m *hav1.Policy) ha.Policy { return *d.policy(m) }

func tripOf[T any, M proto.Message](encode func(T) M, convert func(*decoder, M) T) trip {
	values := rapid.MakeCustom[T](generators())
	return trip{
		travel: func(v any) (any, error) {
			b, err := proto.Marshal(encode(v.(T)))
			if err != nil {
				return nil, err
			}
			m := encode(v.(T)).ProtoReflect().New().Interface().(M)
			if err := proto.Unmarshal(b, m); err != nil {
				return nil, err
			}
			return decode(m, convert)
		},
		encode: func(v any) proto.Message { return encode(v.(T)) },
		draw:   func(t *rapid.T) any { return values.Draw(t, "value") },
	}
}

func generators() rapid.MakeConfig {
	times := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "never") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC()
	})
	sids := rapid.Custom(func(t *rapid.T) ha.SID {
		return rapid.SampledFrom([]ha.SID{{}, {Kind: ha.VM, ID: 100}, {Kind: ha.CT, ID: 999999999}}).Draw(t, "sid")
	})
	addrs := rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%vmbr0")})
	prefixes := rapid.SampledFrom([]netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")})
	return rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[time.Time]():    times.AsAny(),
		reflect.TypeFor[ha.SID]():       sids.AsAny(),
		reflect.TypeFor[netip.Addr]():   addrs.AsAny(),
		reflect.TypeFor[netip.Prefix](): prefixes.AsAny(),
		reflect.TypeFor[ha.OrderDeed](): rapid.SampledFrom(deeds).AsAny(),
	}}
}

func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, ha.SID{}))
}

// Every type that Backend speaks in can travel: a type without a trip is not tested.
func TestEveryTypeOfBackendTravels(t *testing.T) {
	for m := range reflect.TypeFor[Backend]().Methods() {
		for _, typ := range structsIn(m.Type) {
			if _, ok := trips[typ]; !ok {
				t.Errorf("Backend.%s speaks of %s: convert it and list it in trips", m.Name, typ)
			}
		}
	}
}

// structsIn returns the structs of package ha that a type mentions, not their fields.
func structsIn(typ reflect.Type) (found []reflect.Type) {
	switch typ.Kind() {
	case reflect.Func:
		for in := range typ.Ins() {
			found = append(found, structsIn(in)...)
		}
		for out := range typ.Outs() {
			found = append(found, structsIn(out)...)
		}
	case reflect.Pointer, reflect.Slice, reflect.Chan:
		return structsIn(typ.Elem())
	case reflect.Struct:
		return []reflect.Type{typ}
	}
	return found
}

// A value whose every field is set comes back whole, and sets every field of its message:
// a field forgotten on either side, or in one direction only, fails here.
func TestEveryFieldSurvives(t *testing.T) {
	for typ, trip := range trips {
		t.Run(typ.Name(), func(t *testing.T) {
			v := reflect.New(typ).Elem()
			(&filler{}).fill(t, typ.String(), v)
			got, err := trip.travel(v.Interface())
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(v.Interface(), got); d != "" {
				t.Errorf("lost on the way (-sent +received):\n%s", d)
			}
			wantAllSet(t, trip.encode(v.Interface()).ProtoReflect())
		})
	}
}

// Whatever the values are, empty ones included, they come back as they were.
func TestEveryValueSurvives(t *testing.T) {
	for typ, trip := range trips {
		t.Run(typ.Name(), rapid.MakeCheck(func(t *rapid.T) {
			v := reflect.New(typ).Elem()
			v.Set(reflect.ValueOf(trip.draw(t)))
			leaveHome(v)
			got, err := trip.travel(v.Interface())
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(v.Interface(), got); d != "" {
				t.Fatalf("changed on the way (-sent +received):\n%s", d)
			}
		}))
	}
}

// A snapshot comes back exactly as it was, with what does not travel in a report: facts that
// were saved are judged like live ones. In another zone a time is the same instant.
func TestASnapshotSurvivesAsJSON(t *testing.T) {
	var s ha.Snapshot
	(&filler{}).fill(t, "ha.Snapshot", reflect.ValueOf(&s).Elem())
	for k := range s.Reports {
		s.Reports[k].Received = s.At
	}
	got, err := decode(encodeFacts(s), decodeFacts)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%v, lost on the way (-sent +received):\n%s", err, diff(s, got))
	}
	elsewhere := s
	elsewhere.At = s.At.In(time.FixedZone("", -3*3600))
	if got, err := decode(encodeFacts(elsewhere), decodeFacts); err != nil || !got.At.Equal(s.At) {
		t.Errorf("%v: %s arrives as %s", err, elsewhere.At, got.At)
	}
	if _, err := decode(&hav1.FactsResponse{SnapshotJson: []byte("no")}, decodeFacts); ha.KindOf(err) != ha.Invalid {
		t.Errorf("what is no JSON is %v", err)
	}
}

// An empty list arrives as an empty list, which JSON writes as [], never as null.
func TestEmptyListsAreNotNil(t *testing.T) {
	for typ, trip := range trips {
		if typ == reflect.TypeFor[ha.Snapshot]() {
			continue // it arrives as it was made, and is shown to nobody as it is
		}
		got, err := trip.travel(reflect.New(typ).Elem().Interface())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range nilLists(typ.String(), reflect.ValueOf(got)) {
			t.Errorf("%s arrives as nil", name)
		}
	}
}

func nilLists(name string, v reflect.Value) (found []string) {
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			return []string{name}
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			if field.IsExported() && stayHome[v.Type().String()+"."+field.Name] == "" {
				found = append(found, nilLists(name+"."+field.Name, value)...)
			}
		}
	}
	return found
}

// What agents can be told is closed; each variant must be in the protocol.
func TestEveryDeedIsAMessage(t *testing.T) {
	var want, got []string
	files, err := filepath.Glob("../ha/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot read package ha: %v, %d files", err, len(files))
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "orderDeed" {
				want = append(want, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	for _, deed := range deeds {
		got = append(got, reflect.TypeOf(deed).Name())
		back, err := trips[reflect.TypeFor[ha.Order]()].travel(ha.Order{Deed: deed})
		if err != nil || !reflect.DeepEqual(back.(ha.Order).Deed, deed) {
			t.Errorf("order to %s arrives as %v, %v", deed, back, err)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("deeds of package ha and of the protocol differ (-ha +rpc):\n%s", d)
	}
}

func TestAnOrderOfAnUnknownDeedHasNone(t *testing.T) {
	o, err := decode(&hav1.Order{Id: "o1"}, (*decoder).order)
	if err != nil || o.Deed != nil {
		t.Errorf("order of an unknown deed: %v, %v; want one without a deed", o, err)
	}
}

func TestWhatNamesNoGuestOrAddressIsInvalid(t *testing.T) {
	_, err := decode(&hav1.Report{Running: []*hav1.LocalGuest{{Sid: "lxc:7"}}}, (*decoder).report)
	if ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), `"lxc:7"`) {
		t.Errorf("report with a bad SID: %v, want an Invalid error that quotes it", err)
	}
	_, err = decode(&hav1.Policy{Hosts: []*hav1.Host{{Ip: "10.0.0"}}}, (*decoder).policy)
	if ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), `"10.0.0"`) {
		t.Errorf("policy with a bad address: %v, want an Invalid error that quotes it", err)
	}
}

// One odd byte in what a machine says must not keep the whole report from being sent.
func TestOddBytesTravelAsReplacementCharacters(t *testing.T) {
	r := ha.Report{Node: "node1", Watchdog: ha.Watchdog{Loaded: []string{"soft\xffdog"}}, Mounts: []ha.Mount{{Options: "rw,\xfe"}}}
	if _, err := proto.Marshal(encodeReport(r)); err == nil {
		t.Fatal("protobuf accepts invalid UTF-8 now: legible is not needed any more")
	}
	b, err := proto.Marshal(legible(encodeReport(r)))
	if err != nil {
		t.Fatal(err)
	}
	var m hav1.Report
	if err := proto.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Watchdog.Loaded[0] != "soft\uFFFDdog" || m.Mounts[0].Options != "rw,\uFFFD" {
		t.Errorf("received %q and %q", m.Watchdog.Loaded, m.Mounts[0].Options)
	}
	if r.Watchdog.Loaded[0] != "soft\xffdog" {
		t.Error("the sender's own report was changed")
	}
}
