// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The statuses a shell has for a command that it cannot run.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// cannotRun is the error for a command that does not start, with the status
// and the words that a shell has for it.
func cannotRun(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		what := "command not found"
		if strings.Contains(name, "/") {
			what = "no such file or directory"
		}
		return &exitError{statusNotFound, fmt.Errorf("%s: %s", name, what)}
	}
	return &exitError{statusNotExecutable, fmt.Errorf("%s: %w", name, err)}
}

// lookPath finds the file of a command as execvp(3) does: along PATH unless the
// name has a slash, and past files that may not be executed. It returns a bare
// errno. ([os/exec.LookPath] does not tell "may not" from "is not there".)
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	if name == "" {
		return "", syscall.ENOENT
	}
	path, ok := os.LookupEnv("PATH")
	if !ok {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	var found error = syscall.ENOENT
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			found = err
		}
	}
	return "", found
}

func executable(file string) error {
	fi, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return syscall.ENOENT
	case err != nil:
		return errors.Unwrap(err)
	case !fi.Mode().IsRegular():
		return syscall.EACCES
	}
	return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
}
