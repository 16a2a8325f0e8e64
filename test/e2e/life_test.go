// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

var update = flag.Bool("update", false, "take the picture in docs/img anew")

// archiver runs elsa-archive serve until t ends.
func archiver(t *testing.T, dir, socket string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "elsa-archive"), "serve", "--archive-dir", dir, "--socket", socket, "--every", "1s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("elsa-archive serve: %v", err)
		}
	})
	kerneltest.Eventually(t, "elsa-archive answers", func() bool { _, err := os.Stat(socket); return err == nil })
}

// The page shows the processes of a parallel build, as many as are on its bill, that of
// nothing for the hour before, and why it has none where elsa-archive does not run.
func TestKernelLife(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.Program("make", "make"), kerneltest.Program("cc", "gcc"))
	archive, dir, socket := t.TempDir(), project(t, 14), filepath.Join(t.TempDir(), "query.sock")
	d := start(t, "--journal", "on", "--archive-dir", archive, "--archive-socket", socket, "--web.members")
	begun := time.Now()
	d.ctl("run", "-g", "build", "--quiet", "--", "make", "-j4", "-C", dir)
	bill := d.usage("build").Usage
	page := func(from time.Time, want int) (address, body string) {
		t.Helper()
		address = fmt.Sprintf("http://%s/life?name=build&from=%s&until=%s", d.address, from.UTC().Format(time.RFC3339), from.Add(time.Hour).UTC().Format(time.RFC3339))
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %v, %v\n%s", address, resp.Status, err, text)
		}
		return address, string(text)
	}
	if _, body := page(begun, http.StatusServiceUnavailable); !strings.Contains(body, "is it running?") {
		t.Errorf("without elsa-archive:\n%s", body)
	}
	archiver(t, archive, socket)
	from := begun.Truncate(time.Second)
	var address, body string
	kerneltest.Eventually(t, "the page has the whole build", func() bool {
		address, body = page(from, http.StatusOK)
		return strings.Contains(body, fmt.Sprintf("%d processes in ", bill.ProcessesEnded))
	})
	// 15 compilers, each with its bill, and what used most is named.
	if n := strings.Count(body, "<title>cc1 "); n != 15 {
		t.Errorf("%d compilers are drawn", n)
	}
	for _, want := range []string{"<title>make ", "<title>program ", `<th scope="row">cc1</th>`, "0 bands of all others", fmt.Sprintf(">%.2f s<", bill.CPUSeconds)} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if _, body := page(from.Add(-2*time.Hour), http.StatusOK); !strings.Contains(body, "No process of the group lived then") {
		t.Errorf("two hours before:\n%s", body)
	}
	if *update {
		takePicture(t, address, "../../docs/img/life.png")
	}
}

// takePicture has a headless Chromium take the picture of a page.
func takePicture(t *testing.T, address, file string) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Program("chromium", "chromium"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--user-data-dir="+t.TempDir(), "--window-size=1180,1000", "--screenshot="+file, address)
	cmd.Env = append(os.Environ(), "TZ=UTC", "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("chromium %s: %v\n%s", address, err, out)
	}
}
