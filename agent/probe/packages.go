package probe

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// packageCache remembers the versions read from the package database, which is megabytes
// long and changes with an upgrade.
type packageCache struct {
	size               int64
	changed            time.Time
	manager, haManager string
	known              bool
}

const packageDatabase = "var/lib/dpkg/status"

// versions returns the installed versions of pve-manager and pve-ha-manager, empty if
// they are not installed or the host is not a Debian.
func (c *packageCache) versions(h Host) (manager, haManager string, err error) {
	file, err := h.Open(packageDatabase)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", "", err
	}
	if c.known && info.Size() == c.size && info.ModTime().Equal(c.changed) {
		return c.manager, c.haManager, nil
	}
	data, err := read(h, packageDatabase)
	if err != nil {
		return "", "", err
	}
	*c = packageCache{
		size: info.Size(), changed: info.ModTime(), known: true,
		manager: installed(data, "pve-manager"), haManager: installed(data, "pve-ha-manager"),
	}
	return c.manager, c.haManager, nil
}

// installed returns the version of an installed package from the package database.
func installed(database []byte, name string) string {
	paragraph := packageParagraph(database, name)
	var version string
	var ok bool
	for line := range bytes.Lines(paragraph) {
		key, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ": ")
		switch key {
		case "Status":
			ok = strings.HasSuffix(value, " ok installed")
		case "Version":
			version = value
		}
	}
	if !ok {
		return ""
	}
	return version
}

// packageParagraph returns the lines about one package.
func packageParagraph(database []byte, name string) []byte {
	head := []byte("Package: " + name + "\n")
	start := 0
	if !bytes.HasPrefix(database, head) {
		start = bytes.Index(database, append([]byte("\n"), head...)) + 1
		if start == 0 {
			return nil
		}
	}
	paragraph := database[start:]
	if end := bytes.Index(paragraph, []byte("\n\n")); end >= 0 {
		paragraph = paragraph[:end+1]
	}
	return paragraph
}
