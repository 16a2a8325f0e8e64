// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })

// start serves handler on a free port until t ends, and checks that it stops
// cleanly.
func start(t *testing.T, configFile string, handler http.Handler, log *slog.Logger) *Server {
	t.Helper()
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0", ConfigFile: configFile, Log: log}, handler)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return s
}

func run(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not return")
		}
	})
}

func get(t *testing.T, c *http.Client, url, user, password string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServe(t *testing.T) {
	var log bytes.Buffer
	s := start(t, "", hello, slog.New(slog.NewTextHandler(&log, nil)))
	if port := s.Addr().(*net.TCPAddr).Port; port == 0 {
		t.Error("port 0 is reported as bound")
	}
	if code, body := get(t, http.DefaultClient, "http://"+s.Addr().String(), "", ""); code != 200 || body != "hello" {
		t.Errorf("%d %q", code, body)
	}
	if log.Len() > 0 {
		t.Errorf("it logs: %s", &log)
	}
}

func TestServeTaken(t *testing.T) {
	s := start(t, "", hello, nil)
	if _, err := Listen(ServerOptions{Addr: s.Addr().String()}, hello); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("second Listen: %v", err)
	}
}

// TestServeStopsAtOnce has the context end before anything was served.
func TestServeStopsAtOnce(t *testing.T) {
	s, err := Listen(ServerOptions{Addr: "127.0.0.1:0"}, hello)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", s.Addr().String(), time.Second); err == nil {
		t.Error("still listening")
	}
}

// TestServeTLS asks for a certificate and a password as an exporter's web
// configuration does.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir)
	config := filepath.Join(dir, "web.yml")
	// The password is "secret", hashed at bcrypt's lowest cost.
	writeFile(t, config, `
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
basic_auth_users:
  prometheus: $2a$04$b.HgEdNet4YE19cOJaeagutgY7Yn.qH.kYSO8EZbQiCr736q.iybK
`)
	s := start(t, config, hello, nil)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	url := "https://" + s.Addr().String()
	for _, c := range []struct {
		user, password string
		want           int
	}{{"prometheus", "secret", 200}, {"prometheus", "wrong", 401}, {"", "", 401}} {
		if code, _ := get(t, client, url, c.user, c.password); code != c.want {
			t.Errorf("%q with %q: %d, want %d", c.user, c.password, code, c.want)
		}
	}
	if code, _ := get(t, http.DefaultClient, "http://"+s.Addr().String(), "prometheus", "secret"); code != 400 {
		t.Errorf("without TLS: %d, want 400", code)
	}
}

func TestServeBadConfig(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "web.yml")
	writeFile(t, bad, "tls_server_config:\n  no_such_key: 1\n")
	for _, file := range []string{bad, filepath.Join(t.TempDir(), "missing.yml")} {
		s, err := Listen(ServerOptions{Addr: "127.0.0.1:0", ConfigFile: file}, hello)
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: server %v, error %v; want an error that names the file", file, s, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	ready := errors.New("replaying the backlog")
	mux := Routes(hello, http.NotFoundHandler(), func() error { return ready }, nil)
	for _, c := range []struct {
		method, path string
		ready        error
		code         int
		body         string
	}{
		{"GET", "/metrics", nil, 200, "hello"},
		{"HEAD", "/metrics", nil, 200, "hello"},
		{"POST", "/metrics", nil, 405, "Method Not Allowed"},
		{"GET", "/-/healthy", ready, 200, "elsad is healthy"},
		{"GET", "/-/ready", ready, 503, "replaying the backlog"},
		{"GET", "/-/ready", nil, 200, "elsad is ready"},
		{"GET", "/elsewhere", nil, 404, "404"},
	} {
		ready = c.ready
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, w.Code, w.Body, c.code, c.body)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCertificate makes a certificate for 127.0.0.1 that lasts an hour.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}
