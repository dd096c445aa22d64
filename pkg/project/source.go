package project

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits on what is read. The parser's work grows with the square of the nesting, and it
// recurses; these bounds keep any input below a second and far from the stack's end. A
// real network.yml has a few kilobytes, a real hardware.yml some tens.
const (
	fileSizeMax    = 512 << 10 // bytes
	lineLengthMax  = 4096      // bytes
	flowNestingMax = 500       // open [ and { at once
	mergesMax      = 1000      // merge keys followed, each of which may bring others
	faultsMax      = 200       // per file; nobody reads more
)

// place is a line and column, from 1; the zero place is the file as a whole.
type place struct{ line, column int }

func placeOf(n ast.Node) place {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return place{}
	}
	p := n.GetToken().Position
	return place{p.Line, p.Column}
}

// source is one file being read, and what was found wrong with it.
type source struct {
	file    string
	lines   []string
	anchors map[string][]*ast.AnchorNode // in the order of the file
	// merging are the mappings whose merge keys are being followed, to notice a circle;
	// merges is how many were followed so far.
	merging map[ast.Node]bool
	merges  int
	found   []Fault
	seen    map[Fault]bool
}

// fault notes what makes the project unusable.
func (s *source) fault(at place, fix, format string, args ...any) {
	s.note(ha.Fail, at, fix, format, args...)
}

func (s *source) warn(at place, fix, format string, args ...any) {
	s.note(ha.Warn, at, fix, format, args...)
}

func (s *source) note(status ha.Status, at place, fix, format string, args ...any) {
	f := Fault{Status: status, File: s.file, Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...), Fix: fix}
	if at.line > 0 && at.line <= len(s.lines) {
		f.Excerpt, f.Caret = excerpt(s.lines[at.line-1], at.column)
	}
	s.add(f)
}

// add keeps a fault, once: reading a value twice must not double its faults. Names of
// the file are part of its text, so that is made safe to print as well.
func (s *source) add(f Fault) {
	f.Text, f.Fix = printable(f.Text), printable(f.Fix)
	if s.seen == nil {
		s.seen = map[Fault]bool{}
	}
	if s.seen[f] || len(s.found) >= faultsMax {
		return
	}
	s.seen[f] = true
	s.found = append(s.found, f)
}

// errAbsent: the file does not exist.
var errAbsent = errors.New("does not exist")

// readFile returns the bytes of a regular file of reasonable size.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errAbsent
	case err != nil:
		return nil, reason(err)
	case !info.Mode().IsRegular(): // opening a pipe would block
		return nil, errors.New("is no regular file")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileSizeMax+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(data) > fileSizeMax {
		return nil, fmt.Errorf("is larger than %d KiB", fileSizeMax>>10)
	}
	return data, nil
}

// reason strips the path from a file error: the place says it already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// parse reads data as one YAML document. It returns false when there is none to look
// into; the faults then say why.
func (s *source) parse(data []byte) (value, bool) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	for line := range strings.Lines(string(data)) {
		s.lines = append(s.lines, strings.TrimRight(line, "\r\n"))
	}
	if !s.checkText(data) {
		return value{}, false
	}
	file, err := parseYAML(data)
	if err != nil {
		s.syntaxFault(err)
		return value{}, false
	}
	docs := documents(file)
	if len(docs) == 0 {
		s.fault(place{}, "describe management.hosts, cluster and targets in it", "is empty")
		return value{}, false
	}
	if len(docs) > 1 {
		at := placeOf(docs[1].Body)
		if docs[1].Start != nil {
			at = place{docs[1].Start.Position.Line, docs[1].Start.Position.Column}
		}
		s.fault(at, "keep one document; remove the line --- and what does not belong to it", "a second YAML document begins here")
	}
	s.collectAnchors(docs[0].Body)
	return value{src: s, node: docs[0].Body, at: placeOf(docs[0].Body)}, true
}

// documents returns the documents that matter: directives are no document, and an empty
// one only counts as a second.
func documents(file *ast.File) []*ast.DocumentNode {
	var docs []*ast.DocumentNode
	for _, d := range file.Docs {
		_, directive := d.Body.(*ast.DirectiveNode)
		if directive || d.Body == nil && len(docs) == 0 {
			continue
		}
		docs = append(docs, d)
	}
	return docs
}

// checkText looks for what the parser must not see, or explains badly.
func (s *source) checkText(data []byte) bool {
	nesting := 0
	for k, line := range s.lines {
		at := place{line: k + 1}
		if !utf8.ValidString(line) {
			at.column = len([]rune(line[:invalidUTF8(line)])) + 1
			s.fault(at, "save the file as UTF-8", "this is no UTF-8 text")
			return false
		}
		if len(line) > lineLengthMax {
			s.fault(at, "break it into several lines", "the line is longer than %d bytes", lineLengthMax)
			return false
		}
		for column, r := range []rune(line) {
			switch r {
			case '[', '{':
				nesting++
			case ']', '}':
				nesting = max(0, nesting-1)
			case 0:
				at.column = column + 1
				s.fault(at, "save the file as UTF-8 text", "this is a NUL character")
				return false
			}
			if nesting > flowNestingMax {
				at.column = column + 1
				s.fault(at, "close the brackets that are still open", "more than %d brackets are open here", flowNestingMax)
				return false
			}
		}
	}
	return len(data) <= fileSizeMax
}

func invalidUTF8(s string) int {
	for k, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[k:]); size == 1 {
				return k
			}
		}
	}
	return len(s)
}

// parseYAML parses; a panic of the parser is an error, since no file may stop the program.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is no YAML that can be understood (%v)", p)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// syntaxFault turns the parser's error into a fault. Tabs come first: the parser finds
// only the first, and its words are hard to read.
func (s *source) syntaxFault(err error) {
	tabs := false
	for k, line := range s.lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if t := strings.IndexByte(indent, '\t'); t >= 0 && len(indent) < len(line) {
			s.fault(place{k + 1, t + 1}, "indent with spaces", "a tab in the indentation, which YAML forbids")
			tabs = true
		}
	}
	if tabs {
		return
	}
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		s.fault(place{}, "check the indentation and the quotes", "%v", err)
		return
	}
	p := y.GetToken().Position
	s.fault(place{p.Line, p.Column}, syntaxFix(y.GetMessage()), "%s", y.GetMessage())
}

// syntaxFix says what usually is behind a message of the parser.
func syntaxFix(message string) string {
	switch {
	case strings.Contains(message, "non-map value"):
		return "write key: value, with a space after the colon"
	case strings.Contains(message, "not allowed in this context"):
		return "keys of one level need the same number of spaces before them; quote a value that contains \": \""
	case strings.Contains(message, "']' not found"):
		return "close the list with ]"
	case strings.Contains(message, "flow map"):
		return "close the braces with }, and separate the entries with commas"
	case strings.Contains(message, "quoted text"):
		return "close the quotes"
	case strings.Contains(message, "reserved character"):
		return "quote the value"
	default:
		return "check the indentation, the colons and the quotes here"
	}
}
