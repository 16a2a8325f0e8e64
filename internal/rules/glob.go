// SPDX-License-Identifier: Apache-2.0

package rules

import "regexp"

// Glob reports whether a pattern as rules have them matches a name: * stands for any
// text, also with slashes, and ? for one character.
func Glob(p, name string) bool { return pattern(p).match(name) }

var userOf = regexp.MustCompile(`\{\{-?\s*\.(User|UID)\s*-?\}\}`)

// PerUser reports whether the rule makes a group for each user, since its name has the
// user in it.
func (r *Rule) PerUser() bool { return userOf.MatchString(r.Group) }
