// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/png"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/history"
	"elsa/internal/kerneltest"
	"elsa/pkg/usage"
)

var update = flag.Bool("update", false, "rewrite the pictures in docs/img")

// chromium is Debian's package of that name.
var chromium = kerneltest.Program("chromium", "chromium")

// browse opens url in a headless Chromium that can reach this machine alone,
// and returns what it printed. Problems of the page, such as something that
// its policy refuses, are on stderr in lines with CONSOLE.
func browse(t *testing.T, url string, flags ...string) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := []string{
		"--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--enable-logging=stderr", "--user-data-dir=" + t.TempDir(),
	}
	cmd := exec.CommandContext(ctx, "chromium", append(append(args, flags...), url)...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "HOME="+t.TempDir())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium %s: %v\n%s", url, err, &errs)
	}
	return out.String(), errs.String()
}

func console(stderr string) (lines []string) {
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, "CONSOLE") {
			lines = append(lines, line)
		}
	}
	return lines
}

// hour is a page after an hour of a small machine at work.
func hour() *Page {
	groups := []struct {
		name string
		load func(minute float64) float64 // cores
		rate float64                      // processes a second
		live uint64
	}{
		{"ci/build:4711", func(m float64) float64 { return 3.2 * square(m, 14, 0.55) * (0.9 + 0.1*math.Sin(m*9)) }, 40, 23},
		{"ci/build:4712", func(m float64) float64 { return 2.4 * square(m-31, 29, 0.3) }, 25, 14},
		{"db/postgres", func(m float64) float64 { return 0.7 + 0.3*math.Sin(m/4) + 0.05*math.Sin(m*5) }, 0.2, 41},
		{"user/anna", func(m float64) float64 { return 0.05 + 0.4*math.Max(0, math.Sin(m/9)) }, 1.5, 12},
		{"user/ben", func(m float64) float64 { return 0.02 }, 0.1, 3},
		{"web/nginx", func(m float64) float64 { return 0.25 + m/200 }, 0.01, 9},
		{"web/php", func(m float64) float64 { return 0.8 + m/90 + 0.08*math.Sin(m*3) }, 0.5, 32},
		{"cron/backup", func(m float64) float64 { return 1.1 * square(m-5, 60, 0.12) }, 0.4, 0},
		{"monitoring", func(m float64) float64 { return 0.11 + 0.02*math.Sin(m*6.3) }, 12, 2},
		{"batch/render:7", func(m float64) float64 { return 2 * math.Min(1, m/20) }, 3, 8},
	}
	var s *usage.Snapshot
	p := NewPage(Options{
		Snapshot: func(context.Context) *usage.Snapshot { return s },
		Members: func(context.Context, uint32) ([]Member, error) {
			return []Member{
				{PID: 2211, UID: 33, Command: "php-fpm: pool www", Started: epoch, CPU: 81 * time.Second, RSS: 47 << 20},
				{PID: 2190, UID: 0, Command: `<script>document.title="owned"</script>`, Started: epoch, CPU: 3 * time.Second, RSS: 12 << 20},
			}, nil
		},
		Version: "1.0.0",
	})
	cpu := make([]float64, len(groups))
	for tick := range 12*61 + 1 {
		var list []used
		for i, g := range groups {
			cpu[i] += g.load(float64(tick)/12) * 5
			list = append(list, used{uint32(i + 1), g.name, time.Duration(cpu[i] * 1e9)})
		}
		slices.SortFunc(list, func(a, b used) int { return strings.Compare(a.name, b.name) })
		s = at(epoch.Add(time.Duration(tick)*5*time.Second), list...)
		for i := range s.Groups {
			total := &s.Groups[i]
			g := groups[total.Group.ID-1]
			total.Group.Created = epoch
			total.Group.Labels = map[string]string{"team": "infra"}
			n := uint64(g.rate * float64(tick) * 5)
			u := &total.Usage
			*u = usage.Usage{
				usage.User: u[usage.User] * 7 / 10, usage.System: u[usage.User] * 3 / 10,
				usage.Started: n + g.live, usage.Ended: n, usage.Live: g.live, usage.Exact: n,
				usage.MaxRSS: uint64(total.Group.ID) * 37 << 20, usage.ReadBytes: n * 8192, usage.WriteBytes: n * 123456,
				usage.MinorFaults: n * 310,
			}
			s.Total.Add(u)
		}
		s.AnyGroup = s.Total
		s.Ungrouped = usage.Usage{usage.User: uint64(time.Duration(tick) * 700 * time.Millisecond), usage.Live: 96, usage.Ended: uint64(tick), usage.Exact: uint64(tick)}
		s.Total.Add(&s.Ungrouped)
		s.Service = usage.Service{Accounting: "own", ConservationRatio: 1, Members: int(s.AnyGroup[usage.Live]), Processes: int(s.Total[usage.Live])}
		p.Observe(s)
	}
	return p
}

// restartedCrowd is a page of 300 groups, some with long names, just after a restart:
// what they used is in the history alone.
func restartedCrowd() *Page {
	now := epoch.Add(time.Hour + 20*time.Minute)
	var list []used
	var past cells
	for i := range 300 {
		name := fmt.Sprintf("user/u%03d", i)
		if i%7 == 0 {
			name = fmt.Sprintf("pod/%s/%03d", strings.Repeat("0123456789abcdef-", 6), i)
		}
		list = append(list, used{uint32(i + 1), name, time.Duration(i) * time.Minute})
		for h := range uint32(24 * 7) {
			if i%3 == 0 && int(h)%(i+2) < 9 {
				past = append(past, cells{{history.Key{Hour: usage.HourOf(now.Unix()) - h, UID: uint32(i), Groups: []uint32{uint32(i + 1)}, Command: "make"}, time.Duration(i+int(h%24)*9) * time.Second}}...)
			}
		}
	}
	slices.SortFunc(list, func(a, b used) int { return strings.Compare(a.name, b.name) })
	s := at(now, list...)
	s.Total = s.AnyGroup
	s.Service = usage.Service{Accounting: "own", ConservationRatio: 1, Members: 300, Processes: 412, Created: now.Add(-30 * 24 * time.Hour)}
	return NewPage(Options{Snapshot: func(context.Context) *usage.Snapshot { return s }, Cells: past.read, CPUs: 8, Version: "1.0.0"})
}

// square is 1 for the first part of each period, else 0.
func square(m, period, part float64) float64 {
	if m = math.Mod(m, period); m >= 0 && m < part*period {
		return 1
	}
	return 0
}

func TestChromium(t *testing.T) {
	kerneltest.Need(t, chromium)
	var (
		mu    sync.Mutex
		paths []string
	)
	mux := Routes(hello, hour(), func() error { return nil }, nil)
	crowd := Routes(hello, restartedCrowd(), func() error { return nil }, nil)
	s := start(t, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths = append(paths, r.URL.Path)
		mu.Unlock()
		if r.URL.Path == "/violation" {
			w.Header().Set("Content-Security-Policy", policy)
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!DOCTYPE html><title>x</title><script>document.title="owned"</script>`)
			return
		}
		if r.URL.Query().Get("span") != "" {
			crowd.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}), nil)
	root := "http://" + s.Addr().String()

	t.Run("policy", func(t *testing.T) {
		dom, stderr := browse(t, root+"/violation", "--dump-dom")
		if len(console(stderr)) == 0 || strings.Contains(dom, "<title>owned") {
			t.Errorf("a script is not refused: %s\n%s", dom, stderr)
		}
	})

	for _, c := range []struct {
		name, path, file string
		width, height    int
		flags            []string
		want             []string
	}{
		{"list", "/?sort=cpu", "web.png", 1180, 920, nil,
			[]string{`aria-sort="descending"><a href="/?order=ascending&amp;sort=cpu">`, "<title>Groups – ELSA</title>", "batch/render:7"}},
		{"list in the dark", "/?sort=cpu", "web-dark.png", 1180, 920, []string{"--blink-settings=preferredColorScheme=0"}, nil},
		{"group", "/group?name=web%2Fphp", "web-group.png", 1180, 1240, nil,
			[]string{"<title>web/php – ELSA</title>", "php-fpm: pool www", "&lt;script&gt;"}},
		{"week of a crowd after a restart", "/?span=week&sort=span", "web-week.png", 1280, 920, nil,
			[]string{"Last week</strong>", "not in a group", "cores of 8"}},
		{"on a phone", "/?span=day&sort=span", "web-phone.png", 390, 844, nil, []string{"Last day</strong>", "not in a group"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), c.file)
			if *update {
				dir, err := filepath.Abs("../../docs/img")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if c.width == 1180 { // one for the README
					file = filepath.Join(dir, c.file)
				}
			}
			flags := append(c.flags, fmt.Sprintf("--window-size=%d,%d", c.width, c.height), "--screenshot="+file)
			_, stderr := browse(t, root+c.path, flags...)
			dom, more := browse(t, root+c.path, append(c.flags, "--dump-dom")...)
			if lines := console(stderr + more); len(lines) > 0 {
				t.Errorf("the browser complains:\n%s", strings.Join(lines, ""))
			}
			for _, want := range c.want {
				if !strings.Contains(dom, want) {
					t.Errorf("the browser does not show %q", want)
				}
			}
			checkPicture(t, file, len(c.flags) > 0, c.width)
		})
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(paths)
	want := []string{"/", "/group", "/style.css", "/violation"}
	if diff := cmp.Diff(want, slices.Compact(paths)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// checkPicture looks whether the page's style and charts are in the picture:
// its ground is light or dark, and there are some pixels of the line's colour.
func checkPicture(t *testing.T, file string, dark bool, width int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	paper, accent := [3]uint32{0xff, 0xff, 0xff}, [3]uint32{0x0b, 0x5c, 0xad}
	if dark {
		paper, accent = [3]uint32{0x14, 0x18, 0x1f}, [3]uint32{0x74, 0xb3, 0xf5}
	}
	count := map[[3]uint32]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			count[[3]uint32{r >> 8, g >> 8, b >> 8}]++
		}
	}
	if b.Dx() != width {
		t.Errorf("%s is %d pixels wide, want %d", filepath.Base(file), b.Dx(), width)
	}
	if all := b.Dx() * b.Dy(); count[paper] < all/2 || count[accent] < 500 {
		t.Errorf("%s: of %d pixels %d are ground, %d line", filepath.Base(file), all, count[paper], count[accent])
	}
}
