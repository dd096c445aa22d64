// Package cli is the operator's command, psw: it asks the coordinator, shows the answer,
// and follows what was begun. Its secret is how things look and what they are called on
// a terminal, in a pipe and in JSON; docs/cli.md is the contract. It is a client only:
// what it knows of the cluster, the coordinator told it, now or into a file of facts, and
// nothing it begins depends on its staying alive.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// Exit codes of psw.
const (
	exitDone        = 0   // done, or ready
	exitFailed      = 1   // it failed, or the operator said no
	exitUsage       = 2   // wrong usage, or an invalid project
	exitRefused     = 3   // refused or not ready: blockers, FAIL, UNKNOWN
	exitDeadline    = 4   // the deadline passed
	exitInterrupted = 130 // Ctrl-C or SIGTERM; what was begun goes on
)

// Main runs psw with the arguments after the program's name and returns its exit code.
// The answer goes to stdout, everything said about it to stderr. Ending ctx is Ctrl-C.
//
// The environment is handed over as os.Environ() returns it; without it psw behaves as
// with an empty one. PSW_HA_COORDINATOR (addresses, separated by commas), NO_COLOR and
// TERM are read.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ ...string) int {
	return newApp(stdin, stdout, stderr, environ).run(ctx, args)
}

// app is one run of psw.
type app struct {
	stdin  io.Reader
	stdout *answer
	stderr io.Writer
	env    map[string]string

	// terminal is stdout if that is a terminal that can redraw, else nil; askable tells
	// that stdin is one, talkable that stderr is.
	terminal          *os.File
	askable, talkable bool

	flags globalFlags
	style style
	// screen is the live block while there is one.
	screen *screen
	// began is set when a command was recognised: errors before that are wrong usage.
	began bool
	// dialOptions are added when the coordinator is dialed.
	dialOptions []rpc.OperatorOption
}

// globalFlags mean the same for every command.
type globalFlags struct {
	project      string
	coordinators []string
	tls          string
	output       string
	quiet        bool
	verbose      bool
	yes          bool
	noColor      bool
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, environ []string) *app {
	a := &app{stdin: stdin, stdout: &answer{w: stdout}, stderr: stderr, env: map[string]string{}}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		a.env[k] = v
	}
	if f, ok := isTerminal(stdout); ok && a.env["TERM"] != "dumb" {
		a.terminal = f
	}
	_, a.askable = isTerminal(stdin)
	_, a.talkable = isTerminal(stderr)
	return a
}

func isTerminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil && a.stdout.err != nil {
		err = fmt.Errorf("cannot write the answer: %w", a.stdout.err)
	}
	if a.screen != nil {
		a.screen.Close()
	}
	if err == nil {
		return exitDone
	}
	code := a.exitCode(ctx, err)
	text := err.Error()
	var o *outcome
	if code == exitInterrupted && !errors.As(err, &o) {
		text = "interrupted"
	}
	if text != "" {
		fmt.Fprintln(a.stderr, "psw: "+text)
	}
	return code
}

// outcome is an error that has its own exit code. With an empty text everything has
// been said already.
type outcome struct {
	code int
	text string
}

func (o *outcome) Error() string { return o.text }

func exit(code int, format string, args ...any) error {
	return &outcome{code: code, text: fmt.Sprintf(format, args...)}
}

// cannot begins an error for people with what could not be done, unless it says so
// already. The kind stays.
func cannot(what string, err error) error {
	var o *outcome
	if err == nil || errors.As(err, &o) || errors.Is(err, context.Canceled) || strings.HasPrefix(err.Error(), "cannot ") {
		return err
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// exitCode is the one place where an error's kind becomes an exit code.
func (a *app) exitCode(ctx context.Context, err error) int {
	var o *outcome
	switch {
	case errors.As(err, &o):
		return o.code
	case !a.began:
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	}
	switch ha.KindOf(err) {
	case ha.Invalid, ha.NotFound:
		return exitUsage
	case ha.Conflict, ha.NotReady:
		return exitRefused
	case ha.Unavailable, ha.Denied, ha.Internal:
		return exitFailed
	}
	return exitFailed
}

// print writes lines of the answer.
func (a *app) print(lines ...string) {
	if a.screen != nil && a.screen.live {
		a.screen.Print(lines...)
		return
	}
	for _, l := range lines {
		fmt.Fprintln(a.stdout, l)
	}
}

// talk writes a line about the answer, unless --quiet.
func (a *app) talk(format string, args ...any) {
	if !a.flags.quiet {
		a.warn(format, args...)
	}
}

// warnLine is warn for those who want a function of a string.
func (a *app) warnLine(line string) { a.warn("%s", line) }

// warn writes a line about the answer in any case. While a live block stands on the same
// terminal it goes above it.
func (a *app) warn(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if a.screen != nil && a.screen.live && a.talkable {
		a.screen.Print(line)
		return
	}
	fmt.Fprintln(a.stderr, line)
}

// json reports whether the answer is wanted as JSON.
func (a *app) json() bool { return a.flags.output == "json" }

// answer is stdout that remembers the first error: a full disk under a redirected answer
// must not end in exit code 0.
type answer struct {
	w   io.Writer
	err error
}

func (w *answer) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if w.err == nil {
		w.err = err
	}
	return n, err
}
