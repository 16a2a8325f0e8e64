// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/escape"
	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// part is what one user, command or hour used of a group.
type part struct {
	Name string
	usage.Usage
	hour uint32
}

// Figures are what it used, for figure.
func (it *part) Figures() *usage.Usage { return &it.Usage }

// breakdown is what a group used in a span, told apart.
type breakdown struct {
	Users, Commands []*part
	// MoreUsers and MoreCommands are left out.
	MoreUsers, MoreCommands int
	times                   []*part
}

// maxParts bounds the rows of a page's table; a CSV has all.
const maxParts = 20

// breakDown reads what a group used in a span. The hour is the last two that are told
// apart: this one and the one before.
func (p *Page) breakDown(ctx context.Context, g *groups.Group, sp *span, now time.Time) (*breakdown, error) {
	first, step := usage.HourOf(now.Unix())-1, uint32(1)
	if sp.Hours > 0 {
		first, step = sp.first(now), sp.Hours
	}
	users, commands, times := map[uint32]*part{}, map[string]*part{}, map[uint32]*part{}
	err := p.opts.Cells(ctx, first, func(key *history.Key, u *usage.Usage) error {
		if !key.In(func(id uint32) bool { return id == g.ID || slices.Contains(g.Absorbed, id) }) {
			return ctx.Err()
		}
		addPart(users, key.UID, u)
		addPart(commands, key.Command, u)
		addPart(times, key.Hour/step*step, u)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	b := &breakdown{}
	for uid, it := range users {
		it.Name = p.opts.User(uid)
		b.Users = append(b.Users, it)
	}
	for command, it := range commands {
		it.Name = printable(command)
		b.Commands = append(b.Commands, it)
	}
	for hour, it := range times {
		it.hour, it.Name = hour, usage.HourStart(hour).Format(time.RFC3339)
		b.times = append(b.times, it)
	}
	costly := func(a, b *part) int { return cmp.Or(cmp.Compare(b.CPU(), a.CPU()), strings.Compare(a.Name, b.Name)) }
	slices.SortFunc(b.Users, costly)
	slices.SortFunc(b.Commands, costly)
	slices.SortFunc(b.times, func(a, b *part) int { return cmp.Compare(a.hour, b.hour) })
	return b, nil
}

func addPart[K comparable](parts map[K]*part, key K, u *usage.Usage) {
	it := parts[key]
	if it == nil {
		it = &part{}
		parts[key] = it
	}
	it.Add(u)
}

// shorten leaves out the cheapest rows beyond the bound of a page.
func (b *breakdown) shorten() {
	if n := len(b.Users) - maxParts; n > 0 {
		b.Users, b.MoreUsers = b.Users[:maxParts], n
	}
	if n := len(b.Commands) - maxParts; n > 0 {
		b.Commands, b.MoreCommands = b.Commands[:maxParts], n
	}
}

// printable is the name of a command as text.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// serveCSV serves what a group used in a span as CSV, by user, command or hour.
func (p *Page) serveCSV(w http.ResponseWriter, r *http.Request) {
	s := p.snapshot(w, r)
	if s == nil {
		return
	}
	q := r.URL.Query()
	g := find(s, q.Get("name"))
	by := q.Get("by")
	switch {
	case g == nil:
		p.fail(w, http.StatusNotFound, "There is no group "+q.Get("name")+".")
		return
	case p.opts.Cells == nil, by != "hour" && by != "user" && by != "command":
		p.fail(w, http.StatusNotFound, "There is no such table.")
		return
	case by != "hour" && p.opts.Members == nil:
		p.fail(w, http.StatusForbidden, "Commands and users are not shown here; elsad --web.members shows them.")
		return
	}
	sp := parseSpan(q)
	b, err := p.breakDown(r.Context(), &g.Group, sp, s.Time)
	if err != nil {
		p.unread(w, err)
		return
	}
	rows := map[string][]*part{"hour": b.times, "user": b.Users, "command": b.Commands}[by]
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(g.Group.Name)+"-"+sp.Key+"-by-"+by+`.csv"`)
	out := csv.NewWriter(w)
	out.Write([]string{"group", by, "processes", "cpu_seconds", "elapsed_seconds", "max_rss_bytes", "read_bytes", "write_bytes"})
	for _, it := range rows {
		out.Write([]string{g.Group.Name, escape.Cell(it.Name), fmt.Sprint(it.Usage[usage.Ended]), decimal(it.CPU()), decimal(time.Duration(it.Usage[usage.Elapsed])),
			fmt.Sprint(it.Usage[usage.MaxRSS]), fmt.Sprint(it.Usage[usage.ReadBytes]), fmt.Sprint(it.Usage[usage.WriteBytes])})
	}
	out.Flush()
}

// decimal is a time in seconds, to the nanosecond and without binary dust.
func decimal(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%09d", d/time.Second, d%time.Second), "0"), ".")
}

// fileName is a group's name as part of a file's.
func fileName(group string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("/:@", r) {
			return '_'
		}
		return r
	}, group)
}

// csvURL is the address of a table of a group.
func csvURL(group, by string, sp *span) string {
	return "/group.csv?" + url.Values{"name": {group}, "by": {by}, "span": {sp.Key}}.Encode()
}

// find returns a group by its name, nil if there is none.
func find(s *usage.Snapshot, name string) *usage.GroupTotal {
	i, found := slices.BinarySearchFunc(s.Groups, name, func(g usage.GroupTotal, name string) int {
		return strings.Compare(g.Group.Name, name)
	})
	if !found {
		return nil
	}
	return &s.Groups[i]
}
