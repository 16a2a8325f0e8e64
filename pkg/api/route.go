// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"elsa/pkg/groups"
)

// route is one operation of the service. Its run returns the HTTP status and
// the body to send: nil for none, an [*os.File] as it is, anything else as JSON.
type route struct {
	method, path string
	run          func(s Service, c Caller, r *http.Request) (int, any, error)
	// large: the answer grows with what there is.
	large bool
}

// routes is every operation; openapi.yaml describes the same list.
var routes = []route{
	{"GET", "/v1/groups", listGroups, true},
	{"POST", "/v1/groups", createGroup, false},
	{"GET", "/v1/groups/{name}", showGroup, true},
	{"DELETE", "/v1/groups/{name}", deleteGroup, false},
	{"POST", "/v1/groups/{name}/members", addMembers, false},
	{"POST", "/v1/groups/{name}/members/remove", removeMembers, false},
	{"POST", "/v1/groups/{name}/close", closeGroup, false},
	{"POST", "/v1/groups/{name}/reopen", reopenGroup, false},
	{"POST", "/v1/groups/{name}/rename", renameGroup, false},
	{"POST", "/v1/groups/{name}/merge", mergeGroup, false},
	{"POST", "/v1/groups/{name}/labels", labelGroup, false},
	{"POST", "/v1/groups/{name}/fill", fillGroup, false},
	{"POST", "/v1/join", join, false},
	{"GET", "/v1/ungrouped", ungrouped, true},
	{"GET", "/v1/usage", usageReport, true},
	{"GET", "/v1/report", report, true},
	{"GET", "/v1/cells", cells, true},
	{"GET", "/v1/fill", fillState, true},
	{"GET", "/v1/explain", explain, true},
	{"GET", "/v1/rules/try", tryRules, false},
	{"GET", "/v1/status", status, false},
	{"GET", "/v1/backup", backup, false},
}

// find returns the route of r and sets its path value, or else the methods
// that the path knows, none if it is no path of ours. It matches the path as it
// was sent, segment by segment: [http.ServeMux] does so too, but redirects, and
// loses a name that is a lone slash.
func find(r *http.Request) (rt *route, allow string) {
	var methods []string
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i := range routes {
		rt := &routes[i]
		name, ok := rt.match(segments)
		switch {
		case !ok:
		case r.Method == rt.method, r.Method == http.MethodHead && rt.method == http.MethodGet:
			r.SetPathValue("name", name)
			return rt, ""
		default:
			methods = append(methods, rt.method)
		}
	}
	return nil, strings.Join(methods, ", ")
}

// match reports whether the segments of a path, escaped, are those of rt, and
// what stands for {name} in them.
func (rt *route) match(segments []string) (name string, ok bool) {
	want := strings.Split(rt.path, "/")
	if len(want) != len(segments) {
		return "", false
	}
	for i, w := range want {
		s, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return "", false
		case w == "{name}":
			name = s
		case s != w:
			return "", false
		}
	}
	return name, true
}

func listGroups(s Service, c Caller, r *http.Request) (int, any, error) {
	gs, err := s.Groups(r.Context(), c)
	if gs == nil {
		gs = []Group{}
	}
	return http.StatusOK, gs, err
}

func createGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	var q CreateGroupRequest
	if err := readJSON(r, &q, checkCreate); err != nil {
		return 0, nil, err
	}
	g, err := s.CreateGroup(r.Context(), c, q)
	return http.StatusCreated, g, err
}

func showGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	d, err := s.Group(r.Context(), c, name)
	if d.Members == nil {
		d.Members = []Member{}
	}
	return http.StatusOK, d, err
}

func ungrouped(s Service, c Caller, r *http.Request) (int, any, error) {
	u, err := s.Ungrouped(r.Context(), c)
	if u.Members == nil {
		u.Members = []Member{}
	}
	return http.StatusOK, u, err
}

func deleteGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.DeleteGroup(r.Context(), c, name)
}

func addMembers(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	var q AddRequest
	if err := readJSON(r, &q, checkAdd); err != nil {
		return 0, nil, err
	}
	if err := c.MayName(); err != nil {
		return 0, nil, err
	}
	a, err := s.AddMembers(r.Context(), c, name, q)
	if a.Added == nil {
		a.Added = []int{}
	}
	return http.StatusOK, a, err
}

func removeMembers(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	var q RemoveRequest
	if err := readJSON(r, &q, checkRemove); err != nil {
		return 0, nil, err
	}
	if err := c.MayName(); err != nil {
		return 0, nil, err
	}
	a, err := s.RemoveMembers(r.Context(), c, name, q)
	if a.Removed == nil {
		a.Removed = []int{}
	}
	return http.StatusOK, a, err
}

func join(s Service, c Caller, r *http.Request) (int, any, error) {
	var q JoinRequest
	if err := readJSON(r, &q, checkJoin); err != nil {
		return 0, nil, err
	}
	j, err := s.Join(r.Context(), c, q)
	return http.StatusOK, j, err
}

func usageReport(s Service, c Caller, r *http.Request) (int, any, error) {
	q, err := usageQuery(r)
	if err != nil {
		return 0, nil, err
	}
	u, err := s.Usage(r.Context(), c, q)
	return http.StatusOK, u, err
}

func status(s Service, c Caller, r *http.Request) (int, any, error) {
	st, err := s.Status(r.Context(), c)
	return http.StatusOK, st, err
}

func backup(s Service, c Caller, r *http.Request) (int, any, error) {
	f, err := s.Backup(r.Context(), c)
	return http.StatusOK, f, err
}

// groupName is the name in the path, unescaped.
func groupName(r *http.Request) (string, error) {
	name := r.PathValue("name")
	if err := groups.CheckName(name); err != nil {
		return "", BadRequest("%v", err)
	}
	return name, nil
}

func usageQuery(r *http.Request) (out UsageQuery, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return out, BadRequest("bad query: %v", err)
	}
	for key, values := range q {
		switch key {
		case "group":
			if err := checkSelect(values); err != nil {
				return out, err
			}
			out.Groups = values
		case "wait":
			out.Wait, err = queryBool(key, values)
		case "mine":
			out.Mine, err = queryBool(key, values)
		default:
			err = BadRequest("bad query: %.40q is unknown; use group=NAME, mine=true and wait=true", key)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// queryBool reads the last value of a parameter.
func queryBool(key string, values []string) (bool, error) {
	last := values[len(values)-1]
	on, err := strconv.ParseBool(last)
	if err != nil {
		return false, BadRequest("bad query: %s is %.20q; use true or false", key, last)
	}
	return on, nil
}
