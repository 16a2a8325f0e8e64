// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// asKeeper makes root, who writes in an archive by hand, the user that keeps it, for good
// and with all threads: files of root's are in the way of the service, and root should
// not follow what that user put there. The keeper is who is called as the unix group of
// the archive's directory. Where that is root's, or there is no directory yet, root it
// is. The unix groups that are named in also are kept, where they exist.
func asKeeper(dir string, also ...string) error {
	st, err := os.Stat(dir)
	if os.Geteuid() != 0 || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at archive: %w", err)
	}
	gid := st.Sys().(*syscall.Stat_t).Gid
	if gid == 0 {
		return nil
	}
	g, err := user.LookupGroupId(fmt.Sprint(gid))
	if err != nil {
		return fmt.Errorf("look whose archive %s is: %w; run this as the user that keeps it", dir, err)
	}
	u, err := user.Lookup(g.Name)
	if err != nil {
		return fmt.Errorf("look whose archive %s is: %w; run this as the user that keeps it", dir, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("look whose archive %s is: user %s: %w", dir, u.Username, err)
	}
	var groups []int
	for _, name := range also {
		if g, err := user.LookupGroup(name); err == nil {
			if n, err := strconv.Atoi(g.Gid); err == nil {
				groups = append(groups, n)
			}
		}
	}
	err = syscall.Setgroups(groups)
	if err == nil {
		err = syscall.Setresgid(int(gid), int(gid), int(gid))
	}
	if err == nil {
		err = syscall.Setresuid(uid, uid, uid)
	}
	if err != nil {
		return fmt.Errorf("become user %s, whose archive %s is: %w", u.Username, dir, err)
	}
	return nil
}
