// Package settings gathers a program's settings from a file, the environment and flags, in
// that order, later ones winning. Its secret is the file: systemd's EnvironmentFile format,
// so that one file serves the unit and whoever runs the program by hand.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// prefix begins every key of ours. A file may hold other keys (GOMEMLIMIT, GOGC), which are
// systemd's business; a mistyped one of ours is a fault.
const prefix = "PSW_HA_"

// A Setting is written in the file and in the environment by its key, and on the command
// line by its flag.
type Setting[T any] struct {
	Key string
	// Flag is empty for what must not stand on a command line: a secret.
	Flag string
	// Usage explains it; the value's name is in backquotes.
	Usage string
	Set   func(s *T, value string) error
}

// Sources are where settings come from.
type Sources struct {
	// File is read if it exists; if Asked, it must.
	File  string
	Asked bool
	Env   map[string]string
	// Flag returns a flag's value if it was given.
	Flag func(name string) (value string, given bool)
}

// Load sets s from all sources. The error is Invalid and names every fault, those of the
// file with their line.
func Load[T any](list []Setting[T], from Sources, s *T) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, ha.Errorf(ha.Invalid, format, args...)) }
	text, err := os.ReadFile(from.File)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !from.Asked:
	case err != nil:
		return ha.Errorf(ha.Invalid, "no configuration: %w", err)
	}
	for _, l := range parse(string(text)) {
		err := l.err
		if err == nil {
			err = setKey(list, s, l.key, l.value)
		}
		if err != nil {
			fault("%s:%d: %w", from.File, l.number, err)
		}
	}
	for _, one := range list {
		if v, ok := from.Env[one.Key]; ok {
			if err := one.Set(s, v); err != nil {
				fault("%s in the environment: %w", one.Key, err)
			}
		}
		if one.Flag == "" {
			continue
		}
		if v, given := from.Flag(one.Flag); given {
			if err := one.Set(s, v); err != nil {
				fault("--%s: %w", one.Flag, err)
			}
		}
	}
	return errors.Join(faults...)
}

func setKey[T any](list []Setting[T], s *T, key, value string) error {
	keys := make([]string, len(list))
	for k, one := range list {
		if one.Key == key {
			return one.Set(s, value)
		}
		keys[k] = one.Key
	}
	if !strings.HasPrefix(key, prefix) {
		return nil
	}
	return fmt.Errorf("there is no %s: want one of %s", key, strings.Join(keys, ", "))
}

// Words splits a list at commas and white space.
func Words(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// Environment is the environment by key, from KEY=value lines as os.Environ returns them.
func Environment(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, line := range list {
		if key, value, ok := strings.Cut(line, "="); ok {
			env[key] = value
		}
	}
	return env
}
