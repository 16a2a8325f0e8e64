// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Snapshot reads every process there is into buf, which it grows as needed
// and may be nil, and returns the filled part. Processes that end meanwhile
// are left out, zombies are in; UID is unknown. An error means that the tree
// itself cannot be read, or that a process's line is in a form unknown here; the
// other processes are returned with it.
//
// A snapshot takes some 10 µs for each process and is not of one moment: what
// is forked meanwhile may be missing, and the kernel is known to leave out a
// living process from a listing now and then. That a pid is not in it is
// therefore no proof of death; ask [FS.Process] as well.
func (r FS) Snapshot(buf []Process) ([]Process, error) {
	buf = buf[:0]
	root, err := openDir(string(r))
	if err != nil {
		return buf, fmt.Errorf("list processes: %w", err)
	}
	defer unix.Close(root)

	var text, name []byte
	var unread error
	err = numericEntries(root, func(pid int32) {
		name = strconv.AppendInt(name[:0], int64(pid), 10)
		name = append(name, "/stat"...)
		line, err := readAt(root, string(name), &text)
		if gone(err) {
			return
		}
		var p Process
		if err == nil {
			err = parseStat(line, &p)
		}
		if err != nil {
			unread = fmt.Errorf("process %d: %w", pid, err)
			return
		}
		buf = append(buf, p)
	})
	if err == nil {
		err = unread
	}
	if err != nil {
		return buf, fmt.Errorf("list processes in %s: %w", string(r), err)
	}
	return buf, nil
}

// Process reads one process, its owner included. The error wraps
// [fs.ErrNotExist] when there is none, also when pid is a thread's id; then it
// says of which process.
func (r FS) Process(pid int32) (Process, error) {
	p, err := r.process(pid)
	if gone(err) {
		err = noProcess{}
	}
	if err != nil {
		return Process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return p, nil
}

// has reports whether there is a task of that id. No process can keep this waiting: it
// is looked for, and not looked at.
func (r FS) has(pid int32) bool {
	return unix.Access(r.path(pid, ""), unix.F_OK) != unix.ENOENT
}

// IsThread reports whether pid is the id of a live thread that is not its
// process's first. Such a thread has a directory, which no listing shows.
func (r FS) IsThread(pid int32) bool {
	_, err := r.process(pid)
	var no noProcess
	return errors.As(err, &no) && no.threadOf != 0
}

func (r FS) process(pid int32) (Process, error) {
	// Files below one open directory are of one process: once it is gone
	// they are gone, even if its pid is in use again.
	dir, err := r.openProcess(pid)
	if err != nil {
		return Process{}, err
	}
	defer unix.Close(dir)

	var text []byte
	line, err := readAt(dir, "stat", &text)
	if err != nil {
		return Process{}, err
	}
	var p Process
	if err := parseStat(line, &p); err != nil {
		return Process{}, err
	}
	status, err := readAt(dir, "status", &text)
	if err != nil {
		return Process{}, err
	}
	tgid, err := number(status, "Tgid")
	if err != nil {
		return Process{}, err
	}
	if tgid != uint64(pid) {
		return Process{}, noProcess{threadOf: tgid}
	}
	uid, err := number(status, "Uid")
	if err != nil {
		return Process{}, err
	}
	gid, err := number(status, "Gid")
	if err != nil {
		return Process{}, err
	}
	p.UID, p.GID = uint32(uid), uint32(gid)
	return p, nil
}

// Threads returns the thread ids of a process. The error wraps
// [fs.ErrNotExist] when the process is gone.
func (r FS) Threads(pid int32) ([]int32, error) {
	tids, err := r.threads(pid)
	if gone(err) {
		err = noProcess{}
	}
	if err != nil {
		return nil, fmt.Errorf("list threads of process %d: %w", pid, err)
	}
	return tids, nil
}

func (r FS) threads(pid int32) ([]int32, error) {
	dir, err := openDir(r.path(pid, "task"))
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	var tids []int32
	err = numericEntries(dir, func(tid int32) { tids = append(tids, tid) })
	if err == nil && len(tids) == 0 { // it died while the list was read
		err = unix.ESRCH
	}
	return tids, err
}

// CommandLine returns the arguments a process was started with, as the process
// itself keeps them: it may have overwritten them. A kernel thread and a zombie
// have none.
func (r FS) CommandLine(pid int32) ([]string, error) {
	text, err := os.ReadFile(r.path(pid, "cmdline"))
	if gone(err) {
		err = noProcess{}
	}
	if err != nil {
		return nil, fmt.Errorf("read command line of process %d: %w", pid, err)
	}
	text = bytes.TrimRight(text, "\x00")
	if len(text) == 0 {
		return nil, nil
	}
	return strings.Split(string(text), "\x00"), nil
}

// Executable returns the path of the file a process executes; the kernel adds
// " (deleted)" once that is unlinked. A kernel thread has none, and the error
// wraps [fs.ErrNotExist]. Other users' processes need CAP_SYS_PTRACE.
func (r FS) Executable(pid int32) (string, error) {
	path, err := os.Readlink(r.path(pid, "exe"))
	if gone(err) {
		err = noProcess{}
	}
	if err != nil {
		return "", fmt.Errorf("read executable of process %d: %w", pid, err)
	}
	return path, nil
}

// BootID returns the random id the kernel took at boot.
func (r FS) BootID() (string, error) {
	text, err := os.ReadFile(string(r) + "/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if id == "" {
		return "", fmt.Errorf("read boot id: %w: it is empty", ErrFormat)
	}
	return id, nil
}

// Forks returns how many processes and threads have been made since boot, the
// line "processes" of /proc/stat. It never falls.
func (r FS) Forks() (uint64, error) {
	text, err := os.ReadFile(string(r) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("read number of forks: %w", err)
	}
	for len(text) > 0 {
		line, tail, _ := bytes.Cut(text, newline)
		text = tail
		if v, ok := bytes.CutPrefix(line, []byte("processes ")); ok {
			if n, ok := parseUint(bytes.TrimSpace(v)); ok {
				return n, nil
			}
			break
		}
	}
	return 0, fmt.Errorf("read number of forks: %w: no line \"processes N\" in %s/stat", ErrFormat, string(r))
}

// path names a file of a process.
func (r FS) path(pid int32, file string) string {
	return string(r) + "/" + strconv.Itoa(int(pid)) + "/" + file
}

// openProcess opens a process's directory, for use with readAt.
func (r FS) openProcess(pid int32) (int, error) {
	if pid <= 0 {
		return 0, unix.ESRCH
	}
	return openAt(unix.AT_FDCWD, string(r)+"/"+strconv.Itoa(int(pid)), unix.O_PATH|unix.O_DIRECTORY)
}
