// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// fetch gets a page, checks what every page promises, and returns it.
func fetch(t *testing.T, p *Page, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
		t.Errorf("%s: Content-Security-Policy %q", path, csp)
	}
	body := w.Body.String()
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		checkPage(t, path, body)
	}
	return w.Code, body
}

// checkPage looks for what a page must not have: scripts, inline styles,
// addresses elsewhere, unclosed or misplaced elements.
func checkPage(t *testing.T, path, body string) {
	t.Helper()
	var open []string
	void := []string{"meta", "link", "input", "br", "wbr"}
	z := html.NewTokenizer(strings.NewReader(body))
	for tt := z.Next(); tt != html.ErrorToken; tt = z.Next() {
		token := z.Token()
		switch tt {
		case html.StartTagToken:
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
			if token.Data == "script" || token.Data == "style" || token.Data == "iframe" {
				t.Errorf("%s: <%s>", path, token.Data)
			}
			fallthrough
		case html.SelfClosingTagToken:
			for _, a := range token.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: attribute %s of <%s>", path, a.Key, token.Data)
				}
				if (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && a.Val != "data:," {
					t.Errorf("%s: <%s> leads to %q", path, token.Data, a.Val)
				}
				if (a.Key == "href") && strings.HasPrefix(a.Val, "//") {
					t.Errorf("%s: <%s> leads to %q", path, token.Data, a.Val)
				}
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("%s: </%s> closes %v", path, token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: not closed: %v", path, open)
	}
}

// names returns the groups of the list, in order.
func names(body string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`<th scope="row"><a href="[^"]*" title="([^"]*)">`).FindAllStringSubmatch(body, -1) {
		list = append(list, m[1])
	}
	return list
}

// three is a page with three groups and a past.
func three() (*Page, *usage.Snapshot) {
	before := at(epoch, used{1, "alpha", 0}, used{2, "beta", 0}, used{3, "gamma", 0})
	s := at(epoch.Add(time.Minute), used{1, "alpha", 6 * time.Second}, used{2, "beta", time.Minute}, used{3, "gamma", time.Second})
	for i, u := range []usage.Usage{
		{usage.Live: 5, usage.Ended: 20, usage.MaxRSS: 1, usage.ReadBytes: 30, usage.WriteBytes: 4},
		{usage.Live: 6, usage.Ended: 10, usage.MaxRSS: 3, usage.ReadBytes: 20, usage.WriteBytes: 5},
		{usage.Live: 4, usage.Ended: 30, usage.MaxRSS: 2, usage.ReadBytes: 10, usage.WriteBytes: 6},
	} {
		s.Groups[i].Usage[usage.Live] = 0
		s.Groups[i].Usage.Add(&u)
	}
	p := NewPage(Options{Snapshot: func(context.Context) *usage.Snapshot { return s }, Version: "1.2.3"})
	p.Observe(before)
	p.Observe(s)
	return p, s
}

func TestList(t *testing.T) {
	p, _ := three()
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{"beta", "alpha", "gamma"}},
		{"sort=now&order=ascending", []string{"gamma", "alpha", "beta"}},
		{"sort=name", []string{"alpha", "beta", "gamma"}},
		{"sort=name&order=descending", []string{"gamma", "beta", "alpha"}},
		{"sort=cpu", []string{"beta", "alpha", "gamma"}},
		{"sort=live", []string{"beta", "alpha", "gamma"}},
		{"sort=ended", []string{"gamma", "alpha", "beta"}},
		{"sort=rss", []string{"beta", "gamma", "alpha"}},
		{"sort=read", []string{"alpha", "beta", "gamma"}},
		{"sort=write", []string{"gamma", "beta", "alpha"}},
		{"sort=nonsense&order=sideways&page=-1", []string{"beta", "alpha", "gamma"}},
		{"q=a&page=99", []string{"beta", "alpha", "gamma"}},
		{"q=eta", []string{"beta"}},
		{"q=%22%3E%3Cscript%3E", nil},
	} {
		code, body := fetch(t, p, "/?"+c.query)
		if diff := cmp.Diff(c.want, names(body)); code != 200 || diff != "" {
			t.Errorf("/?%s: %d (-want +got):\n%s", c.query, code, diff)
		}
		if n := strings.Count(body, "aria-sort="); n != 1 {
			t.Errorf("/?%s: %d sorted columns", c.query, n)
		}
	}
	_, body := fetch(t, p, "/")
	for _, want := range []string{
		`highest 1.00, mean 1.00 cores`, `highest 0.10`, `1.00</td>`, // beta's chart, alpha's, beta's use now
		`href="/group?name=beta"`, `1 min 00 s`, `elsad 1.2.3`,
		`href="/?order=ascending&amp;sort=now"`, `not in a group`, `group not known`, `all processes`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the list does not contain %q", want)
		}
	}
}

func TestListPages(t *testing.T) {
	var list []used
	for i := range 2 * rowsPerPage {
		list = append(list, used{uint32(i + 1), fmt.Sprintf("g%03d", i), 0})
	}
	s := at(epoch, list...)
	p := NewPage(Options{Snapshot: func(context.Context) *usage.Snapshot { return s }})
	for _, c := range []struct {
		page           string
		first          string
		previous, next bool
	}{
		{"1", "g000", false, true}, {"2", "g100", true, false}, {"3", "g100", true, false}, {"x", "g000", false, true},
	} {
		_, body := fetch(t, p, "/?sort=name&page="+c.page)
		got := names(body)
		if len(got) != rowsPerPage || got[0] != c.first ||
			strings.Contains(body, `rel="prev"`) != c.previous || strings.Contains(body, `rel="next"`) != c.next {
			t.Errorf("page %s: %d rows from %s", c.page, len(got), got[0])
		}
	}
}

func TestGroup(t *testing.T) {
	p, s := three()
	s.Groups[1].Group = groups.Group{ID: 2, Name: "beta", Owner: 1000, Created: epoch, Closed: epoch.Add(time.Hour),
		Labels: map[string]string{"team": `<script>document.title="owned"</script>`}}
	p.opts.Members = func(_ context.Context, id uint32) ([]Member, error) {
		return []Member{
			{PID: 1010, Command: "small", CPU: time.Second, Started: epoch},
			{PID: 1011, Command: `"><img src=x onerror=alert(1)>`, CPU: time.Duration(id) * time.Minute, RSS: 1 << 20, Started: epoch},
		}, nil
	}
	code, body := fetch(t, p, "/group?name=beta")
	if code != 200 {
		t.Fatalf("status %d", code)
	}
	for _, want := range []string{
		"<h1>beta</h1>", "closed", "<td>1000</td>", "2026-05-04 11:00:00 UTC",
		"&lt;script&gt;document.title", "&lt;img src=x", "2 min 00 s",
		`<svg class="chart" role="img" aria-label="CPU over the last hour: highest 1.00, mean 1.00 cores"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of a group does not contain %q", want)
		}
	}
	if strings.Index(body, ">1011<") > strings.Index(body, ">1010<") {
		t.Error("members are not in order of their CPU time")
	}

	p.opts.Members = func(context.Context, uint32) ([]Member, error) { return nil, errors.New("it is <busy>") }
	if _, body := fetch(t, p, "/group?name=beta"); !strings.Contains(body, "They cannot be listed: it is &lt;busy&gt;") {
		t.Error("an error of Members is not shown")
	}
}

// TestGroupNames follows the links of groups whose names are hard on paths.
func TestGroupNames(t *testing.T) {
	hard := []string{"-", "..", "../x", "/", "//a", "a/./b", "a:b@c", "group", "x"}
	var list []used
	for i, name := range hard {
		list = append(list, used{uint32(i + 1), name, 0})
	}
	slices.SortFunc(list, func(a, b used) int { return strings.Compare(a.name, b.name) })
	s := at(epoch, list...)
	p := NewPage(Options{Snapshot: func(context.Context) *usage.Snapshot { return s }})
	mux := Routes(hello, p, func() error { return nil }, nil)
	for _, name := range hard {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", groupURL(name, spans[0], 0), nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<h1>"+name+"</h1>") {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

func TestPageErrors(t *testing.T) {
	p, _ := three()
	empty := NewPage(Options{Snapshot: func(context.Context) *usage.Snapshot { return nil }})
	for _, c := range []struct {
		page *Page
		path string
		code int
		text string
	}{
		{p, "/group?name=" + url.QueryEscape("<b>"), 404, "There is no group &lt;b&gt;."},
		{p, "/group", 404, "There is no group"},
		{p, "/nowhere", 404, "There is no such page."},
		{empty, "/", 503, "There are no figures yet"},
		{empty, "/group?name=a", 503, "There are no figures yet"},
	} {
		code, body := fetch(t, c.page, c.path)
		if code != c.code || !strings.Contains(body, c.text) {
			t.Errorf("%s: %d, want %d and %q", c.path, code, c.code, c.text)
		}
	}
	p = NewPage(Options{})
	if code, _ := fetch(t, p, "/"); code != 503 {
		t.Errorf("before anything was observed: %d, want 503", code)
	}
	p.Observe(at(epoch))
	if _, body := fetch(t, p, "/"); !strings.Contains(body, "There are no groups yet") {
		t.Error("an empty list does not say so")
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	p, s := three()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20 {
				if i == 0 {
					next := *s
					next.Time = s.Time.Add(time.Duration(j+1) * time.Second)
					p.Observe(&next)
					continue
				}
				w := httptest.NewRecorder()
				p.ServeHTTP(w, httptest.NewRequest("GET", []string{"/", "/group?name=beta"}[j%2], nil))
				if w.Code != 200 {
					t.Errorf("status %d", w.Code)
				}
			}
		})
	}
	wg.Wait()
}
