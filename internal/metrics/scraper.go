// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"net"
	"net/http"
	"sync"
	"time"

	"elsa/pkg/usage"
)

// scrapers tell which groups a Prometheus has not seen yet. Its increase() counts from
// the first value it sees, so that a group which has done its work by then would have
// used nothing: the first scrape of a group is told 0, the next what there is. Nothing
// of that is needed by, and shown to, who is no Prometheus.
//
// Ids of groups are never used again and grow, so the largest that was told is all that
// is kept of a scraper.
type scrapers struct {
	mu    sync.Mutex
	known map[string]*scraper
	round uint64
	// base is the largest id of the groups there were before this run of the service.
	base    uint32
	settled bool // base is known
}

type scraper struct {
	told uint32
	last uint64 // the round it scraped in last
}

// maxScrapers bounds who is remembered.
const maxScrapers = 64

// settling is how long after its start the service takes a Prometheus that it does not
// know for one that scraped the last run.
const settling = 10 * time.Minute

// scraperHeader is what Prometheus, and what works like it, sends with each scrape.
const scraperHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// scraperOf names who makes a request; "" if that is no Prometheus.
func scraperOf(r *http.Request) string {
	if r.Header.Get(scraperHeader) == "" {
		return ""
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return host + "\n" + r.UserAgent() + "\n" + r.URL.RawQuery
}

// seen returns the largest id of the groups that a scraper was told of. The caller
// calls told, which may be nil, once the scraper has got the snapshot's figures.
func (c *scrapers) seen(name string, s *usage.Snapshot) (id uint32, told func()) {
	var newest, before uint32
	for i := range s.Groups {
		g := &s.Groups[i].Group
		newest = max(newest, g.ID)
		if g.Created.Before(s.Service.Started) {
			before = max(before, g.ID)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settled {
		c.base, c.settled = before, true
	}
	if name == "" {
		return newest, nil
	}
	c.round++
	k := c.known[name]
	if k == nil {
		k = c.add(name)
		k.told = newest
		if s.Time.Sub(s.Service.Started) < settling {
			k.told = c.base
		}
	}
	k.last = c.round
	return k.told, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		k.told = max(k.told, newest)
	}
}

// add remembers one more, instead of who scraped the longest ago.
func (c *scrapers) add(name string) *scraper {
	if len(c.known) >= maxScrapers {
		oldest := ""
		for n, k := range c.known {
			if oldest == "" || k.last < c.known[oldest].last {
				oldest = n
			}
		}
		delete(c.known, oldest)
	}
	if c.known == nil {
		c.known = map[string]*scraper{}
	}
	k := &scraper{}
	c.known[name] = k
	return k
}
