// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
)

// No name here has a character that a client could not take. To look for one in
// each of 100,000 series takes a fifth of a scrape; it is done for clients that
// ask for it.
func init() { model.NameEscapingScheme = model.NoEscaping }

// Handler returns the handler of /metrics: the text format, OpenMetrics and
// protobuf, as the client asks, whole or only the families named by ?name[]=.
// A scrape that cannot be answered, as while the service starts, ends or is busy, fails
// with status 503 and a line that says why.
func (e *Exporter) Handler() http.Handler {
	opts := promhttp.HandlerOpts{
		ErrorLog:                            logger{e},
		ErrorHandling:                       promhttp.HTTPErrorOnError,
		Registry:                            e.registry,
		EnableOpenMetrics:                   true,
		EnableOpenMetricsTextCreatedSamples: e.opts.CreatedSamples,
		DisableCompression:                  true,
	}
	return compress(unavailable(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case e.inFlight <- struct{}{}:
			defer func() { <-e.inFlight }()
		default:
			http.Error(w, fmt.Sprintf("%d scrapes are under way; try again later", maxInFlight), http.StatusServiceUnavailable)
			return
		}
		rq := &request{e: e, by: scraperOf(r)}
		promhttp.HandlerForTransactional(rq, opts).ServeHTTP(w, r)
		if rq.told != nil && r.Context().Err() == nil { // it has not hung up
			rq.told()
		}
	})))
}

// unavailable has promhttp's status 500 be 503: nothing is broken, and the next scrape
// is answered.
func unavailable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(unavailableResponse{w}, r)
	})
}

type unavailableResponse struct{ http.ResponseWriter }

func (w unavailableResponse) WriteHeader(status int) {
	if status == http.StatusInternalServerError {
		status = http.StatusServiceUnavailable
	}
	w.ResponseWriter.WriteHeader(status)
}

// logger writes promhttp's errors to the service's log.
type logger struct{ e *Exporter }

func (l logger) Println(v ...any) { l.e.opts.Log.Error("scrape", "err", fmt.Sprint(v...)) }

// gzipLevel makes a scrape of 10,000 groups 4 % larger than promhttp's own
// level, in a third of the time.
const gzipLevel = 2

var gzipPool = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzipLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return z
}}

// compress answers with gzip where the client takes it.
func compress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !acceptsGzip(r.Header.Values("Accept-Encoding")) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzipPool.Get().(*gzip.Writer)
		defer gzipPool.Put(z)
		z.Reset(w)
		compressed := &gzipResponse{ResponseWriter: w, z: z}
		next.ServeHTTP(compressed, r)
		if !compressed.refused {
			z.Close() // an error means that the client is gone
		}
	})
}

type gzipResponse struct {
	http.ResponseWriter
	z       *gzip.Writer
	refused bool // promhttp takes the encoding back for what it has to say then
}

func (w *gzipResponse) WriteHeader(status int) {
	w.refused = status >= http.StatusBadRequest
	w.ResponseWriter.WriteHeader(status)
}

func (w *gzipResponse) Write(b []byte) (int, error) {
	if w.refused {
		return w.ResponseWriter.Write(b)
	}
	return w.z.Write(b)
}

// acceptsGzip reports whether Accept-Encoding headers allow gzip.
func acceptsGzip(headers []string) bool {
	for _, part := range strings.Split(strings.Join(headers, ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.TrimSpace(strings.ToLower(coding)) != "gzip" {
			continue
		}
		q, found := strings.CutPrefix(strings.TrimSpace(params), "q=")
		if !found {
			return true
		}
		weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return err == nil && weight > 0
	}
	return false
}
