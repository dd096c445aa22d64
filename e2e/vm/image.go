package vm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// overlay is laid over the packages' files.
//
//go:embed overlay
var overlay embed.FS

// image is what a machine boots: a kernel that needs no unpacking, an initrd, and the
// read-only root that all machines share.
type image struct{ kernel, initrd, root string }

// builder makes images and keeps them in a folder. What comes from Debian (the base) is
// kept apart from what we lay over it, so that a change of ours costs seconds.
type builder struct {
	cache string
	// unit is psw-agent's systemd unit.
	unit []byte
	log  func(format string, args ...any)
}

// build returns the image, from the cache if it is there.
func (b builder) build(ctx context.Context) (image, error) {
	base := filepath.Join(b.cache, "base-"+b.baseKey())
	dir := filepath.Join(b.cache, "image-"+b.imageKey())
	img := image{kernel: filepath.Join(base, "vmlinux"), initrd: filepath.Join(dir, "initrd.img"), root: filepath.Join(dir, "root.squashfs")}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return img, fmt.Errorf("cannot keep the machines' image: %w", err)
	}
	began := time.Now()
	for _, part := range []struct {
		what, dir, about string
		make             func(ctx context.Context, base, dir string) error
	}{{"base", base, "one or two minutes, once", b.makeBase}, {"image", dir, "a few seconds", b.makeImage}} {
		if _, err := os.Stat(part.dir); err == nil {
			continue
		}
		b.log("making the machines' %s of Debian packages (%s)", part.what, part.about)
		// Made beside its place and moved there when it is whole: an interrupted build
		// leaves nothing that looks like one.
		making := part.dir + ".making"
		if err := errors.Join(os.RemoveAll(making), os.MkdirAll(making, 0o755)); err != nil {
			return img, err
		}
		if err := part.make(ctx, base, making); err != nil {
			return img, fmt.Errorf("cannot make the machines' %s: %w", part.what, err)
		}
		if err := os.Rename(making, part.dir); err != nil {
			return img, err
		}
		b.log("%s made, %.1f s since the beginning", part.what, time.Since(began).Seconds())
	}
	return img, b.sweep(base, dir)
}

// sweep removes what older recipes made.
func (b builder) sweep(keep ...string) error {
	for _, kind := range []string{"base-*", "image-*"} {
		if err := removeOthers(filepath.Join(b.cache, kind), keep...); err != nil {
			return err
		}
	}
	return nil
}

func (b builder) baseKey() string {
	return key(fmt.Sprint(packages, excluded, modules))
}

func (b builder) imageKey() string {
	parts := []string{b.baseKey(), fmt.Sprint(bootModules, masked, enabled), string(b.unit)}
	_ = fs.WalkDir(overlay, "overlay", func(path string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			data, _ := overlay.ReadFile(path) // embedded: it cannot fail
			parts = append(parts, path, string(data))
		}
		return nil
	})
	return key(parts...)
}

func key(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// makeBase makes dir/root, the packages' files and the kernel's modules, and dir/vmlinux.
func (b builder) makeBase(ctx context.Context, _, dir string) error {
	version, err := b.fetchKernel(ctx, dir)
	if err != nil {
		return err
	}
	mirror, err := b.mirror(ctx)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	args := []string{"--mode=root", "--variant=essential", "--include=" + strings.Join(packages, ","), `--aptopt=APT::Install-Recommends "false"`}
	for _, path := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	if err := run(ctx, dir, "mmdebstrap", append(args, "bookworm", root, mirror)...); err != nil {
		return err
	}
	if err := copyModules(ctx, filepath.Join(dir, "kernel"), version, root); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, "kernel"))
}

// fetchKernel unpacks Debian's kernel into dir/kernel without installing it, which would
// bring an initramfs along.
func (b builder) fetchKernel(ctx context.Context, dir string) (version string, err error) {
	depends, err := output(ctx, "apt-cache", "depends", "--important", "linux-image-amd64")
	if err != nil {
		return "", err
	}
	k := strings.Index(depends, "Depends: linux-image-")
	if k < 0 {
		return "", fmt.Errorf("linux-image-amd64 depends on no kernel: %.200q", depends)
	}
	pkg := strings.Fields(depends[k:])[1]
	version = strings.TrimPrefix(pkg, "linux-image-")
	if err := run(ctx, dir, "apt-get", "-q", "download", pkg); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages", pkg, len(debs))
	}
	kernel := filepath.Join(dir, "kernel")
	if err := run(ctx, dir, "dpkg-deb", "-x", debs[0], kernel); err != nil {
		return "", err
	}
	if err := run(ctx, dir, "depmod", "-b", kernel, version); err != nil {
		return "", err
	}
	if err := unpackKernel(ctx, filepath.Join(kernel, "boot", "vmlinuz-"+version), filepath.Join(dir, "vmlinux")); err != nil {
		return "", err
	}
	return version, os.Remove(debs[0])
}

// unpackKernel takes the ELF file out of a compressed kernel. QEMU boots it directly; a
// machine without KVM would need seconds to unpack it, at every boot and reset.
func unpackKernel(ctx context.Context, vmlinuz, elf string) error {
	data, err := os.ReadFile(vmlinuz)
	if err != nil {
		return err
	}
	k := bytes.Index(data, []byte("\xfd7zXZ\x00"))
	if k < 0 {
		return fmt.Errorf("%s is not compressed with xz", vmlinuz)
	}
	out, err := os.Create(elf)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "xz", "-dc")
	cmd.Stdin, cmd.Stdout = bytes.NewReader(data[k:]), out
	_ = cmd.Run() // it always complains about what follows the compressed part
	if err := out.Close(); err != nil {
		return err
	}
	head := make([]byte, 4)
	f, err := os.Open(elf)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head) != "\x7fELF" {
		return fmt.Errorf("what is in %s is no ELF file", vmlinuz)
	}
	return nil
}

// mirror returns one-line sources of the host's own Debian, so that packages come from
// where the host's do.
func (b builder) mirror(ctx context.Context) (string, error) {
	list, err := output(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	var sources []string
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) == 4 && f[3] == "Debian" && strings.HasPrefix(f[1], "bookworm") && f[2] == "main" {
			sources = append(sources, fmt.Sprintf("deb %s %s main", f[0], f[1]))
		}
	}
	if len(sources) == 0 {
		return "", errors.New("apt knows no source of Debian 12 (bookworm): the lab is built on such a machine")
	}
	return strings.Join(sources, "\n"), nil
}

// copyModules copies the modules, and those they need, from an unpacked kernel.
func copyModules(ctx context.Context, kernel, version, root string) error {
	for _, m := range modules {
		list, err := output(ctx, "modprobe", "-d", kernel, "-S", version, "--show-depends", m)
		if err != nil {
			return err
		}
		for line := range strings.Lines(list) {
			f := strings.Fields(line)
			if len(f) < 2 || f[0] != "insmod" {
				continue // builtin
			}
			rel, err := filepath.Rel(kernel, f[1])
			if err != nil {
				return err
			}
			if err := copyFile(f[1], filepath.Join(root, rel)); err != nil {
				return err
			}
		}
	}
	for _, name := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if err := copyFile(filepath.Join(kernel, "lib/modules", version, name), filepath.Join(root, "lib/modules", version, name)); err != nil {
			return err
		}
	}
	return run(ctx, root, "depmod", "-b", root, version)
}

// makeImage lays our files over a linked copy of the base, and packs it.
func (b builder) makeImage(ctx context.Context, base, dir string) error {
	root := filepath.Join(dir, "root")
	if err := run(ctx, dir, "cp", "-al", filepath.Join(base, "root"), root); err != nil {
		return err
	}
	if err := b.layOver(root); err != nil {
		return err
	}
	if err := b.makeInitrd(ctx, root, dir); err != nil {
		return err
	}
	if err := run(ctx, dir, "mksquashfs", root, "root.squashfs", "-comp", "lz4", "-no-progress", "-quiet"); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// layOver writes into root what makes Debian a machine of the lab.
func (b builder) layOver(root string) error {
	err := fs.WalkDir(overlay, "overlay", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == "overlay/initrd-init" {
			return err
		}
		data, err := overlay.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, "overlay/")
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "usr/lib/lab/") {
			mode = 0o755
		}
		return replace(filepath.Join(root, name), data, mode)
	})
	if err != nil {
		return err
	}
	authkey := make([]byte, 256)
	_, _ = rand.Read(authkey) // never fails
	units := filepath.Join(root, "etc/systemd/system")
	faults := []error{
		replace(filepath.Join(root, "etc/corosync/authkey"), authkey, 0o400),
		replace(filepath.Join(units, "psw-agent.service"), b.unit, 0o644),
		replace(filepath.Join(root, "etc/machine-id"), []byte("6c61620000000000000000000000cafe\n"), 0o444),
		os.MkdirAll(filepath.Join(root, "etc/pve"), 0o755),
	}
	for _, unit := range masked {
		faults = append(faults, link("/dev/null", filepath.Join(units, unit)))
	}
	for unit, target := range enabled {
		from := "/etc/systemd/system/" + unit
		if unit == "corosync.service" {
			from = "/lib/systemd/system/" + unit
		}
		faults = append(faults, link(from, filepath.Join(units, target+".wants", unit)))
	}
	return errors.Join(faults...)
}

// makeInitrd packs what is needed to reach the image: busybox, a few modules, and init.
func (b builder) makeInitrd(ctx context.Context, root, dir string) error {
	tree := filepath.Join(dir, "initrd")
	init, err := overlay.ReadFile("overlay/initrd-init")
	if err != nil {
		return err
	}
	faults := []error{
		replace(filepath.Join(tree, "init"), init, 0o755),
		copyFile(filepath.Join(root, "bin/busybox"), filepath.Join(tree, "bin/busybox")),
		os.Chmod(filepath.Join(tree, "bin/busybox"), 0o755),
	}
	for _, name := range []string{"dev", "proc", "sys"} {
		faults = append(faults, os.MkdirAll(filepath.Join(tree, name), 0o755))
	}
	var order []string
	for _, m := range bootModules {
		found, err := filepath.Glob(filepath.Join(root, "lib/modules/*/kernel/*/*", m+".ko"))
		if more, _ := filepath.Glob(filepath.Join(root, "lib/modules/*/kernel/*", m, m+".ko")); len(more) > 0 {
			found = more
		}
		if err != nil || len(found) == 0 {
			continue // built into the kernel
		}
		order = append(order, m+".ko")
		faults = append(faults, copyFile(found[0], filepath.Join(tree, "modules", m+".ko")))
	}
	faults = append(faults, replace(filepath.Join(tree, "modules.order"), []byte(strings.Join(order, "\n")+"\n"), 0o644))
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if err := run(ctx, tree, "sh", "-c", "find . | cpio -o -H newc --quiet | lz4 -l -q > ../initrd.img"); err != nil {
		return err
	}
	return os.RemoveAll(tree)
}
