package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// hostTools are the commands the lab needs on the host, and Debian's packages of them.
var hostTools = []struct{ command, pkg string }{
	{"mmdebstrap", "mmdebstrap"}, {"mksquashfs", "squashfs-tools"}, {"cpio", "cpio"}, {"lz4", "lz4"}, {"xz", "xz-utils"},
	{"modprobe", "kmod"}, {"depmod", "kmod"}, {"mkfs.ext4", "e2fsprogs"}, {"ip", "iproute2"}, {"qemu-system-x86_64", "qemu-system-x86"},
}

// InstallTools installs what is missing of the commands the lab needs on the host.
func InstallTools(ctx context.Context, log func(format string, args ...any)) error {
	var missing []string
	for _, t := range hostTools {
		if _, err := exec.LookPath(t.command); err != nil {
			missing = append(missing, t.pkg)
		}
	}
	// Packages for the image are looked up by the host's apt: its lists must be there.
	lists, _ := filepath.Glob("/var/lib/apt/lists/*_Packages*")
	if len(lists) == 0 || len(missing) > 0 {
		if err := run(ctx, "/", "apt-get", "-qq", "update"); err != nil {
			return fmt.Errorf("cannot learn which packages there are: %w", err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	log("installing %s", strings.Join(missing, " "))
	if err := run(ctx, "/", "env", append([]string{"DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "--no-install-recommends", "-y"}, missing...)...); err != nil {
		return fmt.Errorf("cannot install what the lab is built with: %w", err)
	}
	return nil
}

// run runs a command in a folder; its output is told only when it fails.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, lastLines(out))
	}
	return nil
}

// output runs a command and returns what it prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		var complaint []byte
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			complaint = exit.Stderr
		}
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, lastLines(complaint))
	}
	return string(out), nil
}

// lastLines is the end of a command's talk, where it says why it failed.
func lastLines(out []byte) string {
	const linesMax = 30
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-linesMax):], []byte("\n")))
}

// replace writes a file anew. It never writes into one that is there: that may be a link
// to another image's.
func replace(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask says
}

// link makes a symbolic link, instead of what is there.
func link(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, path)
}

// removeOthers removes what matches a pattern, but for what is to be kept.
func removeOthers(pattern string, keep ...string) error {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range found {
		if !slices.Contains(keep, path) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return replace(to, data, 0o644)
}
