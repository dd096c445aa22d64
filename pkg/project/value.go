package project

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// value is a node of the file with the name people know it by. Its methods read it as
// one type or note what is wrong, so that a reader asks and goes on.
type value struct {
	src *source
	// node may be an alias; nil and null both mean that nothing is given.
	node ast.Node
	// at is where the value stands, or where its key does if it has no value.
	at   place
	path string // targets.core.memory
}

// entry is a key with its value.
type entry struct {
	key string
	at  place // the key's
	value
}

// mapping is what a mapping holds, in the order of the file.
type mapping struct {
	of      value
	entries []entry
	index   map[string]int // of entries, by key
}

// hopsMax bounds how many aliases, anchors and tags may stand before a value.
const hopsMax = 20

func (s *source) collectAnchors(body ast.Node) {
	s.anchors = map[string][]*ast.AnchorNode{}
	s.merging = map[ast.Node]bool{}
	ast.Walk(anchorVisitor{s}, body)
}

type anchorVisitor struct{ *source }

func (v anchorVisitor) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		name := a.Name.GetToken().Value
		v.anchors[name] = append(v.anchors[name], a)
	}
	return v
}

// resolve follows aliases, anchors and tags to the value itself; nil if there is none, or
// if it cannot be found, which is then a fault.
func (v value) resolve() ast.Node {
	n, lost := v.follow()
	switch {
	case lost && n == nil:
		v.src.fault(v.at, "write the value out", "this alias refers to itself")
	case lost:
		name := aliasName(n.(*ast.AliasNode))
		v.src.fault(v.at, fmt.Sprintf("define it before with &%s, or write the value out", name), "*%s refers to nothing", name)
		return nil
	}
	return n
}

// follow is resolve without a word. If the way to the value is lost, the node is the
// alias that leads nowhere, or nil if it leads in a circle.
func (v value) follow() (n ast.Node, lost bool) {
	n = v.node
	for range hopsMax {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.TagNode:
			n = t.Value
		case *ast.MappingKeyNode:
			n = t.Value
		case *ast.AliasNode:
			anchor := v.src.anchorBefore(t)
			if anchor == nil {
				return t, true
			}
			n = anchor.Value
		case *ast.NullNode:
			return nil, false
		default:
			return n, false
		}
	}
	return nil, true
}

func aliasName(a *ast.AliasNode) string {
	if a.Value == nil {
		return ""
	}
	return a.Value.GetToken().Value
}

// anchorBefore returns the newest anchor of the alias' name that stands before it.
func (s *source) anchorBefore(a *ast.AliasNode) *ast.AnchorNode {
	var last *ast.AnchorNode
	at := placeOf(a)
	for _, anchor := range s.anchors[aliasName(a)] {
		p := placeOf(anchor)
		if p.line < at.line || p.line == at.line && p.column < at.column {
			last = anchor
		}
	}
	return last
}

// given reports whether there is a value at all: `node:` alone is none.
func (v value) given() bool {
	n, lost := v.follow()
	return lost || n != nil
}

// gluedKey is a key and its value without the blank between them, which YAML takes for
// one text.
var gluedKey = regexp.MustCompile(`^[a-z_]+:\S`)

// mapping reads a mapping. Keys given twice are faults; the first counts.
func (v value) mapping() (mapping, bool) {
	m := mapping{of: v, index: map[string]int{}}
	n := v.resolve()
	if n == nil {
		return m, false
	}
	mapNode, ok := n.(ast.MapNode)
	if !ok {
		fix := "write key: value lines under it"
		if text, _ := scalarText(n); gluedKey.MatchString(text) {
			fix = "write key: value, with a space after the colon"
		}
		v.wrong("a mapping", fix)
		return m, false
	}
	if v.src.merging[n] {
		v.src.fault(v.at, "write the values out", "this merges itself")
		return m, false
	}
	v.src.merging[n] = true
	defer delete(v.src.merging, n)

	var merged []value
	for it := mapNode.MapRange(); it.Next(); {
		child := value{src: v.src, node: it.Value(), at: placeOf(it.Value())}
		if it.Key().IsMergeKey() {
			merged = append(merged, child)
			continue
		}
		key, ok := v.key(it.Key())
		if !ok {
			continue
		}
		child.path = join(v.path, key)
		e := entry{key: key, at: placeOf(it.Key()), value: child}
		if !e.given() {
			e.value.at = e.at
		}
		if first, twice := m.get(key); twice {
			v.src.fault(e.at, "rename or remove one of them", "%s is given twice, first in line %d", child.path, first.at.line)
			continue
		}
		m.add(e)
	}
	for _, from := range merged {
		m.merge(from)
	}
	return m, true
}

func (m *mapping) add(e entry) {
	m.index[e.key] = len(m.entries)
	m.entries = append(m.entries, e)
}

// merge adds the entries of a merged mapping, or of a list of them, that m lacks.
func (m *mapping) merge(from value) {
	from.path = m.of.path
	if from.src.merges++; from.src.merges > mergesMax {
		from.src.fault(from.at, "write the values out", "more than %d mappings are merged", mergesMax)
		return
	}
	if list, ok := from.resolve().(*ast.SequenceNode); ok {
		for _, n := range list.Values {
			m.merge(value{src: from.src, node: n, at: placeOf(n)})
		}
		return
	}
	other, ok := from.mapping()
	if !ok {
		return
	}
	for _, e := range other.entries {
		if _, own := m.get(e.key); !own {
			m.add(e)
		}
	}
}

// key returns a key's text.
func (v value) key(n ast.MapKeyNode) (string, bool) {
	at := placeOf(n)
	text, ok := scalarText((value{src: v.src, node: n, at: at}).resolve())
	if !ok || text == "" {
		v.src.fault(at, "write key: value", "a key of %s is no text", v.subject())
		return "", false
	}
	return text, true
}

func (m mapping) get(key string) (entry, bool) {
	k, ok := m.index[key]
	if !ok {
		return entry{}, false
	}
	return m.entries[k], true
}

// list reads a list; what could not be read is missing from it, and ok is then false.
func (v value) list(example string) (list []value, ok bool) {
	n := v.resolve()
	if n == nil {
		return nil, false
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		v.wrong("a list", "write "+example)
		return nil, false
	}
	whole := true
	for k, n := range seq.Values {
		item := value{src: v.src, node: n, at: placeOf(n), path: fmt.Sprintf("%s[%d]", v.path, k)}
		if !item.given() {
			v.src.fault(item.at, "remove it or fill it in", "%s is empty", item.path)
			whole = false
			continue
		}
		list = append(list, item)
	}
	return list, whole
}

// wrong notes that the value is not of the type it must be.
func (v value) wrong(want, fix string) {
	v.src.fault(v.at, fix, "%s is %s, not %s", v.subject(), v.kind(), want)
}

// subject is the value's name, or what the file as a whole is called.
func (v value) subject() string {
	if v.path == "" {
		return "the file"
	}
	return v.path
}

// kind says what a value is, the text itself if it is short.
func (v value) kind() string {
	switch n := v.resolve().(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	default:
		text, _ := scalarText(n)
		if secretPath(v.path) {
			return "something else"
		}
		return quote(text)
	}
}

func secretPath(path string) bool {
	for _, w := range secretWords {
		if strings.Contains(maskable(path), w) {
			return true
		}
	}
	return false
}

// quote quotes a value of the file for a message, cut if it is long.
func quote(text string) string {
	const lengthMax = 40
	if r := []rune(text); len(r) > lengthMax {
		text = string(r[:lengthMax-1]) + "…"
	}
	return strconv.Quote(text)
}

// scalarText is the text of a scalar as it is written.
func scalarText(n ast.Node) (string, bool) {
	switch t := n.(type) {
	case *ast.StringNode:
		return t.Value, true
	case *ast.LiteralNode:
		return t.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
