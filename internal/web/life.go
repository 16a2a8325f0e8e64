// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	ask "elsa/internal/query"
	"elsa/pkg/groups"
)

// Life answers what a group's processes did in an hour or less, of the archive. It may
// take some seconds, and gives up when ctx ends.
type Life func(ctx context.Context, q *ask.Query) (*ask.Life, error)

// hourLayout is how a browser writes the hour that a form asks for.
const hourLayout = "2006-01-02T15:04"

// lifePage is the content of the page of an hour of a group.
type lifePage struct {
	Group, GroupURL string
	// From and Until are what was asked for.
	From, Until time.Time
	// Hour is From as the form has it.
	Hour string
	// Before, After and Whole lead to the hours beside this one, and to all of it.
	Before, After, Whole string
	Life                 *ask.Life
	Since                time.Time // what the picture begins with
	Through              time.Time
	Lanes                *lanes
	Commands             []ask.Command
	Costliest            []ended
	// Problem is why there is no picture.
	Problem string
}

// ended is a row of the list of processes.
type ended struct {
	ask.Process
	Command, User, Exit string
	Started             time.Time
}

// serveLife serves the page of an hour of a group.
func (p *Page) serveLife(w http.ResponseWriter, r *http.Request) {
	s := p.snapshot(w, r)
	if s == nil {
		return
	}
	v := r.URL.Query()
	g := find(s, v.Get("name"))
	switch {
	case g == nil:
		p.fail(w, http.StatusNotFound, "There is no group "+v.Get("name")+".")
		return
	case p.opts.Life == nil:
		p.fail(w, http.StatusNotFound, "There is no archive: elsad --journal on, and elsa-archive, make one.")
		return
	case p.opts.Members == nil:
		p.fail(w, http.StatusForbidden, "Processes are not shown here; elsad --web.members shows them.")
		return
	}
	from, until, err := window(v, &g.Group, s.Time)
	if err != nil {
		p.fail(w, http.StatusBadRequest, "That is no time: "+err.Error()+".")
		return
	}
	name, zone := g.Group.Name, s.Time.Location()
	hour := from.Truncate(time.Hour)
	c := lifePage{
		Group: name, GroupURL: groupURL(name, spans[0], 0), From: from.In(zone), Until: until.In(zone), Hour: hour.In(zone).Format(hourLayout),
		Before: lifeURL(name, hour.Add(-time.Hour), hour), After: lifeURL(name, hour.Add(time.Hour), hour.Add(2*time.Hour)),
	}
	if until.Sub(from) < time.Hour {
		c.Whole = lifeURL(name, hour, hour.Add(time.Hour))
	}
	status := http.StatusOK
	l, err := p.opts.Life(r.Context(), &ask.Query{Group: name, Since: from, Until: until})
	if err != nil {
		p.opts.Log.Warn("read archive for the page", "group", name, "err", err)
		c.Problem, status = err.Error(), http.StatusServiceUnavailable
	} else {
		c.fill(l, zone)
	}
	p.render(w, status, "life", frame{Title: "Processes of " + name, Time: s.Time, Content: c})
}

// fill takes over what the archive says.
func (c *lifePage) fill(l *ask.Life, zone *time.Location) {
	c.Life, c.Commands = l, l.Commands
	c.Since, c.Through = time.Unix(0, l.Since).In(zone), time.Unix(0, l.Through).In(zone)
	if len(l.Live) > 0 {
		c.Lanes = drawLanes(l, zone, func(from, until time.Time) string { return lifeURL(c.Group, from, until) })
	}
	for i := range c.Commands {
		c.Commands[i].Command = printable(c.Commands[i].Command)
	}
	for _, e := range l.Costliest {
		c.Costliest = append(c.Costliest, ended{e, printable(e.Command), printable(e.User), exitText(e.Status), time.Unix(0, e.Started).In(zone)})
	}
}

// exitText says how a process ended.
func exitText(status int64) string {
	switch {
	case status < 0:
		return "–"
	case status&0x7f != 0:
		return "signal " + strconv.FormatInt(status&0x7f, 10)
	}
	return strconv.FormatInt(status>>8&0xff, 10)
}

// window is the time that an address asks for: the hour of a form, or from and until, or
// else the hour in which the group was closed, or this one.
func window(v url.Values, g *groups.Group, now time.Time) (from, until time.Time, err error) {
	const bad = "%.40q; use hour=2006-01-02T15:04, or from and until as in RFC 3339, an hour apart at most"
	switch {
	case v.Get("from") != "":
		if from, err = time.Parse(time.RFC3339Nano, v.Get("from")); err != nil {
			return from, until, fmt.Errorf(bad, v.Get("from"))
		}
		if until, err = time.Parse(time.RFC3339Nano, v.Get("until")); err != nil {
			return from, until, fmt.Errorf(bad, v.Get("until"))
		}
	case v.Get("hour") != "":
		if from, err = time.ParseInLocation(hourLayout, v.Get("hour"), now.Location()); err != nil {
			return from, until, fmt.Errorf(bad, v.Get("hour"))
		}
		until = from.Add(time.Hour)
	default:
		if from = now; !g.Open() {
			from = g.Closed
		}
		from = from.Truncate(time.Hour)
		until = from.Add(time.Hour)
	}
	if y := from.Year(); y < 1970 || y > 2200 || !from.Before(until) || until.Sub(from) > ask.MaxWindow {
		return from, until, fmt.Errorf(bad, from.Format(time.RFC3339Nano)+" "+until.Format(time.RFC3339Nano))
	}
	return from, until, nil
}

// lifeURL is the address of the page of a time of a group.
func lifeURL(group string, from, until time.Time) string {
	return "/life?" + url.Values{"name": {group}, "from": {from.UTC().Format(time.RFC3339Nano)}, "until": {until.UTC().Format(time.RFC3339Nano)}}.Encode()
}
