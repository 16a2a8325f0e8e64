// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"os/user"
	"strconv"
)

// Names keeps names of users and unix groups; looking one up may ask a
// directory service. Ids are few; it is emptied when they are not. One goroutine
// at a time.
type Names map[string]string

// User returns the name of a user id, or the number where it has none.
func (n Names) User(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	return n.get("u"+id, id, func() (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

// UnixGroup returns the name of a group id, or the number where it has none.
func (n Names) UnixGroup(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	return n.get("g"+id, id, func() (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func (n Names) get(key, otherwise string, look func() (string, error)) string {
	if name, ok := n[key]; ok {
		return name
	}
	if len(n) > 1<<12 {
		clear(n)
	}
	name, err := look()
	if err != nil {
		name = otherwise
	}
	n[key] = name
	return name
}
