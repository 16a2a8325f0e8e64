// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// window is how long something is watched while nothing happens.
const window = 10 * time.Second

// idle is what elsad costs on a machine on which nothing happens, and what a
// scrape costs then, beside the tools that look at all processes each time.
func (b *bench) idle() error {
	elsad, err := b.elsad()
	if err != nil {
		return err
	}
	share, rss, err := watch(elsad)
	if err != nil {
		return err
	}
	_, address, _ := strings.Cut(elsad.said, "address=")
	address, _, _ = strings.Cut(address, " ")
	scrape, err := scrapes(elsad, "http://"+address+"/metrics")
	if err != nil {
		return err
	}
	if err := elsad.stop(); err != nil {
		return err
	}
	cpu := row{what: "idle: CPU", ours: fmt.Sprintf("%.3f %% of a core", share), limit: "< 0.1 %", ok: share < 0.1}
	memory := row{what: "idle: resident memory", ours: mib(rss), limit: "≤ 30 MiB", ok: rss <= 30<<10}
	one := row{what: "CPU of a scrape, no groups", ours: fmt.Sprintf("%.2f ms", scrape)}

	if _, err := exec.LookPath("atop"); err != nil {
		cpu.peer = "atop: not installed"
	} else {
		atop, err := b.start("", "atop", "-w", filepath.Join(b.dir, "atop"), "10")
		if err != nil {
			return err
		}
		share, rss, err := watch(atop)
		if err != nil {
			return err
		}
		if err := atop.stop(); err != nil {
			return err
		}
		cpu.peer, memory.peer = fmt.Sprintf("atop, a look every 10 s: %.3f %%", share), "atop: "+mib(rss)
	}
	if _, err := exec.LookPath("prometheus-process-exporter"); err != nil {
		one.peer = "process-exporter: not installed"
	} else {
		theirs, rss, err := b.exporterScrape()
		if err != nil {
			return err
		}
		one.peer, one.ratio = fmt.Sprintf("process-exporter: %.2f ms", theirs), fmt.Sprintf("%.2f", scrape/theirs)
		memory.peer += ", process-exporter: " + mib(rss)
	}
	b.rows = append(b.rows, cpu, memory, one)
	return nil
}

func mib(kb int64) string { return fmt.Sprintf("%.1f MiB", float64(kb)/1024) }

// watch returns the CPU in percent of a core and the resident memory in KiB of
// a program that has nothing to do.
func watch(p *program) (share float64, rss int64, err error) {
	time.Sleep(2 * time.Second)
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(window)
	after, err := p.cpu()
	return float64(after-before) / float64(window) * 100, p.rss(), err
}

// scrapes returns the CPU of one scrape in milliseconds.
func scrapes(p *program, url string) (float64, error) {
	const times = 20
	var before time.Duration
	for i := range times + 1 {
		resp, err := http.Get(url)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return 0, err
		}
		if i == 0 { // the first makes what the others use
			if before, err = p.cpu(); err != nil {
				return 0, err
			}
		}
	}
	after, err := p.cpu()
	return float64((after - before).Microseconds()) / times / 1e3, err
}

// exporterScrape is the same of process-exporter, which is set up to tell
// commands apart, as its documentation does.
func (b *bench) exporterScrape() (ms float64, rss int64, err error) {
	config := filepath.Join(b.dir, "exporter.yml")
	if err := os.WriteFile(config, []byte("process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n"), 0o644); err != nil {
		return 0, 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes no port 0
	if err != nil {
		return 0, 0, err
	}
	address := l.Addr().String()
	l.Close()
	p, err := b.start("", "prometheus-process-exporter", "-config.path", config, "-web.listen-address", address)
	if err != nil {
		return 0, 0, err
	}
	if ms, err = scrapes(p, "http://"+address+"/metrics"); err != nil {
		return 0, 0, err
	}
	return ms, p.rss(), p.stop()
}
