package ha

import (
	"errors"
	"fmt"
)

// Kind says what sort of error something is, for whoever must react to it: the gRPC
// layer maps it to a status code and the CLI to an exit code, each in one place.
type Kind string

// The kinds of error.
const (
	// Invalid: the request or the project is wrong; trying again cannot help.
	Invalid Kind = "invalid"
	// NotFound: what was named does not exist.
	NotFound Kind = "not_found"
	// Conflict: it contradicts what is already there or under way.
	Conflict Kind = "conflict"
	// NotReady: refused now, with reasons that can be mended.
	NotReady Kind = "not_ready"
	// Unavailable: the other side could not be reached or asked.
	Unavailable Kind = "unavailable"
	// Denied: the caller may not do this.
	Denied Kind = "denied"
	// Internal: a fault of ours, or one nobody classified.
	Internal Kind = "internal"
)

// Error is an error with a Kind.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error as fmt.Errorf does, %w included.
func Errorf(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Err: fmt.Errorf(format, args...)}
}

// KindOf returns the kind of the outermost Error in err's chain, Internal for an
// error that has none and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
