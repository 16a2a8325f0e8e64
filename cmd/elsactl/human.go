// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"elsa/internal/nss"
	"elsa/pkg/client"
)

// seconds is a duration for a person: 0.004s, 12.345s, 2m03.4s, 5h00m, 3d04h.
func seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d < 0:
		return "-" + seconds(-s)
	case d.Round(time.Millisecond) < time.Minute:
		return fmt.Sprintf("%.3fs", s)
	case d.Round(100*time.Millisecond) < time.Hour:
		d = d.Round(100 * time.Millisecond)
		return fmt.Sprintf("%dm%04.1fs", d/time.Minute, (d % time.Minute).Seconds())
	case d.Round(time.Minute) < 24*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		d = d.Round(time.Hour)
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// bytes is a size for a person: 17 B, 12.3 MiB.
func bytes(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 1023.95 && unit < 5 { // what would print as 1024.0
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[unit])
}

// count is a number of things: 1 process, 2 processes.
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		thing += "e"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func numbers(ns []int) string {
	return strings.Trim(fmt.Sprint(ns), "[]")
}

// clock is a time for a person, in their zone.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }

// users are the names of users as far as they were looked up.
var users = sync.OnceValue(func() *nss.Names { return nss.New(nil) })

// usersWait is how long the name service may take, for all users that are shown.
const usersWait = 5 * time.Second

// userName is the name of a user, or the number of one that has none here. Of many
// users all but the last are to be told to [nss.Names.User] before, so that they are
// looked up together.
func userName(uid uint32) string {
	name, known := users().User(uid)
	if !known {
		ctx, cancel := context.WithTimeout(context.Background(), usersWait)
		defer cancel()
		users().Look(ctx)
		name, _ = users().User(uid)
	}
	return name
}

// nameUsers looks up the names of users together, so that [nss.Names.User] has them.
func nameUsers(uids []uint32) {
	last, unknown := uint32(0), false
	for _, uid := range uids {
		if _, known := users().User(uid); !known {
			last, unknown = uid, true
		}
	}
	if unknown {
		userName(last)
	}
}

// labelText is key=value, in order of the keys.
func labelText(labels map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, k+"="+labels[k])
	}
	return strings.Join(list, " ")
}

// precision names what the figures are, with numbers if they are not all one.
func precision(p client.Precision) string {
	var kinds, list []string
	for _, k := range []struct {
		name string
		n    uint64
	}{{"exact", p.Exact}, {"sampled", p.Sampled}, {"rounded", p.Rounded}} {
		if k.n > 0 {
			kinds = append(kinds, k.name)
			list = append(list, fmt.Sprintf("%d %s", k.n, k.name))
		}
	}
	if len(kinds) == 1 {
		list = kinds
	}
	if p.Inferred > 0 {
		list = append(list, fmt.Sprintf("%d inferred", p.Inferred))
	}
	return strings.Join(list, ", ")
}
