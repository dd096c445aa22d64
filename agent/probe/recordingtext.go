package probe

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A recording is one text file, so that it can be read, diffed and pasted into a report:
//
//	node: pve1
//	what happened, in as many lines as it takes
//	-- file proc/uptime --
//	55.76 12.60
//	-- quoted proc/812/cmdline --
//	"/usr/bin/kvm\x00-id\x00100\x00"
//	-- unreadable sys/class/watchdog/watchdog0/timeleft --
//	operation not supported
//	-- dir 0755 etc/pve/nodes/pve1 --
//	-- link etc/pve/local -> nodes/pve1 --
//	-- statfs /mnt/pve/nas --
//	total 500000 free 400000
//	-- write /mnt/pve/nas --
//	ok
//	-- clock --
//	synchronized true offset 12µs maximum 30ms estimated 1ms
//	-- run 0 corosync-cfgtool -n --
//	Local node ID 1, transport knet
//
// The body of statfs is "total N free N", "hangs", or "error" and the error; that of write
// "ok" or one of the latter. A command is
// recorded with its exit code, or with the word hangs in its place. Bodies end with a
// newline; a folder's is the names in it that tell something though nobody opens them; quoted ones are Go string literals, one a line, which are joined.

// Bytes returns the recording as text, its parts sorted, so that equal ones are equal.
func (r *Recording) Bytes() []byte {
	var b bytes.Buffer
	part := func(body string, head string, args ...any) {
		fmt.Fprintf(&b, "-- "+head+" --\n", args...)
		b.WriteString(body)
		if body != "" && !strings.HasSuffix(body, "\n") {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "node: %s\n%s", r.Node, r.Comment)
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		switch f := r.files[name]; {
		case f.dir:
			part(strings.Join(f.names, "\n"), "dir %04o %s", f.mode.Perm(), name)
		case f.unreadable != "":
			part(f.unreadable, "unreadable %s", name)
		case plain(f.data):
			part(string(f.data), "file %s", name)
		default:
			part(strconv.Quote(string(f.data)), "quoted %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.links)) {
		part("", "link %s -> %s", name, r.links[name])
	}
	for _, path := range slices.Sorted(maps.Keys(r.statfs)) {
		part(r.statfs[path].statfsText(), "statfs %s", path)
	}
	for _, path := range slices.Sorted(maps.Keys(r.writes)) {
		part(r.writes[path].writeText(), "write %s", path)
	}
	if c := r.clock; c != nil {
		part(fmt.Sprintf("synchronized %t offset %s maximum %s estimated %s", c.synchronized, c.offset, c.errorMax, c.errorEstimated), "clock")
	}
	for _, line := range slices.Sorted(maps.Keys(r.runs)) {
		outcome := strconv.Itoa(r.runs[line].code)
		if r.runs[line].hangs {
			outcome = "hangs"
		}
		part(string(r.runs[line].output), "run %s %s", outcome, line)
	}
	return b.Bytes()
}

func (a recordedAnswer) statfsText() string {
	return a.orElse(fmt.Sprintf("total %d free %d", a.total, a.free))
}

func (a recordedAnswer) writeText() string { return a.orElse("ok") }

// orElse is how an answer hangs or fails, or else good.
func (a recordedAnswer) orElse(good string) string {
	switch {
	case a.hangs:
		return "hangs"
	case a.err != "":
		return "error " + a.err
	}
	return good
}

// plain reports whether a body can stand in the text as it is.
func plain(body []byte) bool {
	if len(body) == 0 || !utf8.Valid(body) || bytes.HasPrefix(body, []byte("-- ")) || bytes.Contains(body, []byte("\n-- ")) {
		return len(body) == 0
	}
	return !bytes.ContainsFunc(body, func(c rune) bool { return c != '\n' && c != '\t' && unicode.IsControl(c) })
}

// ParseRecording reads what Bytes wrote.
func ParseRecording(text []byte) (*Recording, error) {
	r := newRecording("")
	var head string
	var body strings.Builder
	flush := func() error {
		if head == "" {
			first, rest, _ := strings.Cut(body.String(), "\n")
			node, ok := strings.CutPrefix(first, "node: ")
			if !ok {
				return fmt.Errorf("a recording begins with node: NAME, not %.60q", first)
			}
			r.Node, r.Comment = ha.NodeName(node), rest
			return nil
		}
		if err := r.addPart(head, body.String()); err != nil {
			return fmt.Errorf("-- %s --: %w", head, err)
		}
		return nil
	}
	for line := range strings.Lines(string(text)) {
		inner, begins := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- ")
		inner, ends := strings.CutSuffix(inner, " --")
		if !begins || !ends {
			body.WriteString(line)
			continue
		}
		if err := flush(); err != nil {
			return nil, err
		}
		head = inner
		body.Reset()
	}
	return r, flush()
}

// addPart adds one part of a recording.
func (r *Recording) addPart(head, body string) error {
	kind, rest, _ := strings.Cut(head, " ")
	switch kind {
	case "file":
		r.files[rest] = recordedFile{data: []byte(body)}
	case "quoted":
		data, err := unquoteLines(body)
		if err != nil {
			return err
		}
		r.files[rest] = recordedFile{data: data}
	case "unreadable":
		r.files[rest] = recordedFile{unreadable: cmp.Or(strings.TrimSuffix(body, "\n"), "unreadable")}
	case "dir":
		mode, name, _ := strings.Cut(rest, " ")
		bits, err := strconv.ParseUint(mode, 8, 9)
		if err != nil || name == "" {
			return fmt.Errorf("want dir MODE PATH")
		}
		r.files[name] = recordedFile{dir: true, mode: fs.FileMode(bits), names: strings.Fields(body)}
	case "link":
		name, target, ok := strings.Cut(rest, " -> ")
		if !ok {
			return fmt.Errorf("want link PATH -> TARGET")
		}
		r.links[name] = target
	case "statfs":
		answer, err := parseStatfsText(strings.TrimSuffix(body, "\n"))
		if err != nil {
			return err
		}
		r.statfs[rest] = answer
	case "write":
		answer, err := parseWriteText(strings.TrimSuffix(body, "\n"))
		if err != nil {
			return err
		}
		r.writes[rest] = answer
	case "clock":
		clock, err := parseClockText(body)
		if err != nil {
			return err
		}
		r.clock = clock
	case "run":
		outcome, line, _ := strings.Cut(rest, " ")
		run := recordedAnswer{hangs: outcome == "hangs", output: []byte(body)}
		code, err := strconv.Atoi(outcome)
		if err != nil && !run.hangs || line == "" {
			return fmt.Errorf("want run CODE COMMAND or run hangs COMMAND")
		}
		run.code = code
		r.runs[line] = run
	default:
		return fmt.Errorf("no part of a recording is called %q", kind)
	}
	return nil
}

func unquoteLines(body string) ([]byte, error) {
	var data []byte
	for line := range strings.Lines(body) {
		text, err := strconv.Unquote(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("not a quoted string: %.60q", line)
		}
		data = append(data, text...)
	}
	return data, nil
}

func parseStatfsText(text string) (a recordedAnswer, err error) {
	if message, ok := strings.CutPrefix(text, "error "); ok {
		a.err = message
		return a, nil
	}
	if a.hangs = text == "hangs"; a.hangs {
		return a, nil
	}
	if n, _ := fmt.Sscanf(text, "total %d free %d", &a.total, &a.free); n != 2 {
		return a, fmt.Errorf("want total N free N, hangs, or error TEXT, not %.60q", text)
	}
	return a, nil
}

func parseWriteText(text string) (a recordedAnswer, err error) {
	if text == "ok" {
		return a, nil
	}
	a, err = parseStatfsText(text)
	if err == nil && !a.hangs && a.err == "" {
		err = fmt.Errorf("want ok, hangs, or error TEXT, not %.60q", text)
	}
	return a, err
}

func parseClockText(text string) (*recordedClock, error) {
	var c recordedClock
	f := strings.Fields(text)
	if len(f) != 8 || f[0] != "synchronized" || f[2] != "offset" || f[4] != "maximum" || f[6] != "estimated" {
		return nil, fmt.Errorf("want synchronized BOOL offset D maximum D estimated D, not %.120q", text)
	}
	var errs [4]error
	c.synchronized, errs[0] = strconv.ParseBool(f[1])
	c.offset, errs[1] = time.ParseDuration(f[3])
	c.errorMax, errs[2] = time.ParseDuration(f[5])
	c.errorEstimated, errs[3] = time.ParseDuration(f[7])
	return &c, errors.Join(errs[:]...)
}
