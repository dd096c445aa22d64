package gossip

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"os"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const keySize = 32 // AES-256

// Key encrypts everything that members say to each other; all of a cluster have the same
// one. It prints nothing of itself.
type Key []byte

// NewKey makes a random key.
func NewKey() (Key, error) {
	k := make(Key, keySize)
	_, err := rand.Read(k)
	return k, err
}

// LoadKey reads a key file: 32 bytes in base64 and nothing else. It is Invalid if anybody
// on the machine may read it.
func LoadKey(file string) (Key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, ha.Errorf(ha.Invalid, "no gossip key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, ha.Errorf(ha.Invalid, "gossip key %s is open to everybody on this machine: chmod 600 it", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, ha.Errorf(ha.Invalid, "no gossip key: %w", err)
	}
	k, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(k) != keySize {
		return nil, ha.Errorf(ha.Invalid, "gossip key %s: want %d bytes in base64 and nothing else", file, keySize)
	}
	return k, nil
}

// Save writes a new key file, readable by its owner only. It does not replace one.
func (k Key) Save(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(k) + "\n")
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// String keeps the key out of logs.
func (Key) String() string { return "gossip key" }

// GoString keeps the key out of logs.
func (k Key) GoString() string { return k.String() }

// LogValue keeps the key out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps the key out of whatever is written as JSON.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
