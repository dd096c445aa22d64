package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// envLine is one assignment of a file in systemd's EnvironmentFile format, or why the
// line is none.
type envLine struct {
	number     int
	key, value string
	err        error
}

var envKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// envLines reads KEY=value lines as systemd does: blank lines and lines that begin with
// # or ; say nothing, a value may be in single or double quotes, and a line that ends in
// a backslash goes on in the next.
func envLines(text string) []envLine {
	var list []envLine
	lines := strings.Split(text, "\n")
	for k := 0; k < len(lines); k++ {
		number, line := k+1, strings.TrimSpace(lines[k])
		for strings.HasSuffix(line, `\`) && k+1 < len(lines) && !isComment(line) {
			k++
			line = strings.TrimSuffix(line, `\`) + strings.TrimSpace(lines[k])
		}
		if line == "" || isComment(line) {
			continue
		}
		l := envLine{number: number}
		l.key, l.value, l.err = assignment(line)
		list = append(list, l)
	}
	return list
}

func isComment(line string) bool {
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
}

func assignment(line string) (key, value string, err error) {
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	switch {
	case !ok:
		return "", "", fmt.Errorf("%q is no assignment: want KEY=value", line)
	case strings.HasPrefix(key, "export "):
		return "", "", fmt.Errorf("this is no shell script: want %s=…", strings.TrimPrefix(key, "export "))
	case !envKey.MatchString(key):
		return "", "", fmt.Errorf("%q is no key: want letters, digits and _", key)
	}
	value, err = unquote(strings.TrimSpace(value))
	return key, value, err
}

// unquote takes the quotes off a value. Within double quotes a backslash makes the next
// character an ordinary one.
func unquote(v string) (string, error) {
	if v == "" || v[0] != '\'' && v[0] != '"' {
		return v, nil
	}
	quote := v[0]
	var b strings.Builder
	for k := 1; k < len(v); k++ {
		switch {
		case v[k] == quote && k == len(v)-1:
			return b.String(), nil
		case v[k] == quote:
			return "", errors.New("there is something after the closing quote")
		case v[k] == '\\' && quote == '"' && k+1 < len(v):
			k++
		}
		b.WriteByte(v[k])
	}
	return "", errors.New("the closing quote is missing")
}
