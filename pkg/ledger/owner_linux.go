// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"elsa/pkg/acct"
)

// usualFiles is where programs that switch accounting on keep its file.
var usualFiles = []string{
	"/var/log/account/pacct", // acct of Debian, SUSE, Arch
	"/var/account/pacct",     // psacct of Red Hat
	"/var/log/pacct",
	"/run/pacct_source",          // atopacctd
	"/var/cache/atop.d/*",        // atop by itself
	"/tmp/atop.d/*",              // atop by itself
	"/var/lib/elsa/pacct/*.acct", // elsad with another state directory
}

// ConflictError says that accounting is another program's.
type ConflictError struct {
	Path string // the file it writes to; empty if it is none of the usual ones
	Name string // the program seen running, if any
}

// Error names the mend.
func (e *ConflictError) Error() string {
	who := "another program"
	if e.Name != "" {
		who = e.Name
	}
	if e.Path == "" {
		return fmt.Sprintf("take accounting: it belongs to %s; stop that (or switch it off: accton off), or read its file with --acct follow:PATH", who)
	}
	return fmt.Sprintf("take accounting: it belongs to %s and goes to %s; stop that (or switch it off: accton off), or use --acct follow:%[2]s", who, e.Path)
}

// Owner finds out who owns accounting, of which there is one for the machine,
// by letting a child end and looking where its record goes. It is nil when
// accounting is off, and a [*ConflictError] when it is on.
func Owner() error {
	_, err := checkOwner(linux{}, nil)
	return err
}

// verdict is what the death of a child shows.
type verdict struct {
	grown []string // the files that grew meanwhile
	// on and off tell whether the kernel wrote a record somewhere. Neither is
	// set if the kernel does not count what a process writes. Accounting that
	// is suspended for lack of space is off.
	on, off bool
}

// linux is the running kernel.
type linux struct{}

func (linux) switchOn(path string) error { return SwitchOn(path) }
func (linux) switchOff() error           { return SwitchOff() }

// watchDeath finds out where accounting goes: no system call tells. It lets
// children end and looks which of the files grow. Beyond those, it uses that
// the kernel counts the record among the bytes the dying process itself wrote,
// and adds that up in its parent.
func (linux) watchDeath(files []string) (verdict, error) {
	before := fileSizes(files)
	var v verdict
	// Other threads write too; so many times in a row, in so short a time, not.
	for try := 0; try < 8 && !v.off && len(v.grown) == 0; try++ {
		wrote, err := bytesWritten()
		if err := die(); err != nil {
			return verdict{}, err
		}
		// No count without CONFIG_TASK_XACCT, not even of the eight bytes.
		if now, err2 := bytesWritten(); err == nil && err2 == nil && now > wrote {
			v.on = now-wrote >= acct.BSDSize
			v.off = !v.on
		}
		for i, size := range fileSizes(files) {
			if size > before[i] {
				v.grown = append(v.grown, files[i])
			}
		}
	}
	return v, nil
}

// die makes a process that ends before die returns. It cannot execute a
// directory and ends; what it tells this process of that is eight bytes long.
func die() error {
	if _, err := syscall.ForkExec("/", []string{"elsa"}, nil); err != syscall.EACCES {
		return fmt.Errorf("end a child process to see its record: %w", err)
	}
	return nil
}

// bytesWritten returns what this process and its dead children have written.
func bytesWritten() (uint64, error) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for f := range bytes.Lines(b) {
		if n, ok := bytes.CutPrefix(f, []byte("wchar: ")); ok {
			return strconv.ParseUint(string(bytes.TrimSpace(n)), 10, 64)
		}
	}
	return 0, fmt.Errorf("read /proc/self/io: no wchar")
}

// fileSizes returns the size of each file, -1 if it is none.
func fileSizes(files []string) []int64 {
	sizes := make([]int64, len(files))
	for i, name := range files {
		sizes[i] = -1
		if fi, err := os.Stat(name); err == nil && fi.Mode().IsRegular() {
			sizes[i] = fi.Size()
		}
	}
	return sizes
}

// checkOwner returns whether accounting is on and goes to one of the files own.
// If it is another's, the error is a *ConflictError.
func checkOwner(k kernel, own []string) (bool, error) {
	var files []string
	for _, pattern := range usualFiles {
		names, _ := filepath.Glob(pattern) // the patterns are well-formed
		for _, name := range names {
			// Who can write to a file can make it grow.
			if fi, err := os.Lstat(name); err != nil || trusted(name, fi) != nil {
				continue
			}
			if !slices.ContainsFunc(own, func(o string) bool { return sameFile(name, o) }) {
				files = append(files, name)
			}
		}
	}
	files = append(files, own...)
	v, err := k.watchDeath(files)
	if err != nil {
		return false, fmt.Errorf("look who owns accounting: %w", err)
	}
	if v.off {
		v.grown = nil // whoever wrote there, it was not the kernel
	}
	if slices.ContainsFunc(v.grown, func(name string) bool { return slices.Contains(own, name) }) {
		return true, nil
	}
	name := ""
	if running("atopacctd") {
		name = "atopacctd"
	}
	switch {
	case len(v.grown) > 0:
		return false, &ConflictError{Path: v.grown[0], Name: name}
	case v.on || name != "":
		return false, &ConflictError{Name: name}
	}
	return false, nil
}

func sameFile(a, b string) bool {
	fa, err := os.Stat(a)
	if err != nil {
		return false
	}
	fb, err := os.Stat(b)
	return err == nil && os.SameFile(fa, fb)
}

// running tells whether root runs a program in the machine's own namespaces. The
// command name proves nothing, as anybody may choose one.
func running(name string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && string(bytes.TrimSpace(b)) == name && isRoots(filepath.Dir(file), name) {
			return true
		}
	}
	return false
}

// isRoots tells whether the process of a directory of /proc has all its user ids
// root's, is in this process's namespaces, and executes a file of that name that
// only root can write. Some programs of root that anybody may start, as sudo, also
// have root's ids, and their command name is that of the link they were started by.
func isRoots(dir, name string) bool {
	status, err := os.ReadFile(dir + "/status")
	if err != nil || !bytes.Contains(status, []byte("\nUid:\t0\t0\t0\t0\n")) {
		return false
	}
	for _, ns := range []string{"/ns/pid", "/ns/user"} {
		theirs, err := os.Readlink(dir + ns)
		ours, err2 := os.Readlink("/proc/self" + ns)
		if err != nil || err2 != nil || theirs != ours {
			return false
		}
	}
	exe, err := os.Readlink(dir + "/exe")
	if err != nil || filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != name {
		return false
	}
	fi, err := os.Stat(dir + "/exe")
	return err == nil && trusted(exe, fi) == nil
}

// trusted makes sure that only root and this user can write to a file.
func trusted(name string, fi fs.FileInfo) error {
	uid := int(fi.Sys().(*syscall.Stat_t).Uid)
	switch mode := fi.Mode(); {
	case mode.Type() == fs.ModeSymlink:
		return fmt.Errorf("%s is a symbolic link; name the file that it leads to", name)
	case !mode.IsRegular():
		return fmt.Errorf("%s is not a regular file", name)
	case uid != 0 && uid != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d, who could write what it wants there; chown it to root", name, uid)
	case mode.Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %04o); chmod go-w it", name, mode.Perm())
	}
	return nil
}
