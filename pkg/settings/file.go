package settings

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// line is one assignment of a file, or why the line is none.
type line struct {
	number     int
	key, value string
	err        error
}

var validKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parse reads KEY=value lines as systemd does: blank lines and lines that begin with # or ;
// say nothing, a value may be in single or double quotes, and a line that ends in a
// backslash goes on in the next.
func parse(text string) []line {
	var list []line
	lines := strings.Split(text, "\n")
	for k := 0; k < len(lines); k++ {
		number, text := k+1, strings.TrimSpace(lines[k])
		for strings.HasSuffix(text, `\`) && k+1 < len(lines) && !isComment(text) {
			k++
			text = strings.TrimSuffix(text, `\`) + strings.TrimSpace(lines[k])
		}
		if text == "" || isComment(text) {
			continue
		}
		l := line{number: number}
		l.key, l.value, l.err = assignment(text)
		list = append(list, l)
	}
	return list
}

func isComment(text string) bool { return strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") }

func assignment(text string) (key, value string, err error) {
	key, value, ok := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	switch {
	case !ok:
		return "", "", errors.New("this is no assignment: want KEY=value")
	case strings.HasPrefix(key, "export "):
		return "", "", fmt.Errorf("this is no shell script: want %s=…", strings.TrimPrefix(key, "export "))
	case !validKey.MatchString(key):
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
