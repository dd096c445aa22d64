package pve

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// redact takes a secret out of a text.
func redact(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, redacted)
}

// LogValue shows everything but the secret.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("endpoints", c.Endpoints),
		slog.String("token_id", c.TokenID),
		slog.String("token_secret", redacted),
		slog.String("ca_file", c.CAFile),
		slog.Bool("ca_pem", len(c.CAPEM) > 0),
		slog.String("fingerprint", c.Fingerprint),
		slog.Duration("timeout", c.Timeout),
	)
}

// Format keeps the secret out of every verb, %+v and %#v included.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "pve.Config{Endpoints:%q TokenID:%q TokenSecret:%s}", c.Endpoints, c.TokenID, redacted)
}

// Format keeps the secret out of every verb: go-proxmox's client would print its token.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil {
		_, _ = io.WriteString(f, "pve.Client(nil)")
		return
	}
	_, _ = fmt.Fprintf(f, "pve.Client(%s as %s)", c.transport.endpoints, c.token)
}

// LogValue shows where the client speaks to and as whom.
func (c *Client) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%v", c)) }

// libraryLog is the logger go-proxmox gets. The library prints whole request and answer
// bodies on its debug level (passwords, join keys, new tokens); those lines are dropped,
// and the token's secret is taken out of the others.
type libraryLog struct {
	log    *slog.Logger
	secret string
}

func (l libraryLog) Debugf(format string, v ...any) {
	if strings.HasPrefix(format, "DATA:") || strings.HasPrefix(format, "BODY:") {
		return
	}
	l.log.Debug("go-proxmox", "text", redact(fmt.Sprintf(format, v...), l.secret))
}

func (l libraryLog) Infof(format string, v ...any) { l.Debugf(format, v...) }

func (l libraryLog) Warnf(format string, v ...any) {
	l.log.Warn("go-proxmox", "text", redact(fmt.Sprintf(format, v...), l.secret))
}

func (l libraryLog) Errorf(format string, v ...any) {
	l.log.Error("go-proxmox", "text", redact(fmt.Sprintf(format, v...), l.secret))
}
