// SPDX-License-Identifier: Apache-2.0

package clickhouse_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"elsa/internal/cells"
	"elsa/internal/chdb"
	"elsa/internal/clickhouse"
)

// TestOpen: each address that makes no sense has a line that says so, without a secret.
func TestOpen(t *testing.T) {
	file := func(text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct{ address, password, want string }{
		{"clickhouse://ch/elsa", "", ""},
		{"clickhouse://me@ch:1/elsa?tls=on", "", ""},
		{"clickhouse://ch/elsa", file("s3cret\n", 0o600), ""},
		{"clickhouse://ch", "", "use clickhouse://"},
		{"clickhouse:///elsa", "", "use clickhouse://"},
		{"clickhouse://ch/a;b", "", "use clickhouse://"},
		{"clickhouse://ch/a/b", "", "use clickhouse://"},
		{"clickhouse://me:s3cret@ch/elsa", "", "an address has no password"},
		{"clickhouse://me:s3cret@ch:x/elsa", "", "the address cannot be read"},
		{"clickhouse://ch/elsa?password=s3cret", "", `"password" is not known`},
		{"clickhouse://ch/elsa?tls=maybe", "", "use tls=on"},
		{"clickhouse://ch/elsa?ca=/none", "", "read ca: open /none"},
		{"clickhouse://ch/elsa?ca=" + file("s3cret", 0o644), "", "has no certificate in PEM"},
		{"clickhouse://ch/elsa", file("s3cret", 0o640), "run chmod 600"},
		{"clickhouse://ch/elsa", "/none", "read ELSA_CLICKHOUSE_PASSWORD_FILE: open /none"},
		{"clickhouse://ch/elsa", file("\n", 0o600), "nothing in its first line"},
	} {
		t.Setenv(clickhouse.PasswordFileVariable, tt.password)
		_, err := clickhouse.Open(tt.address)
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", tt.address, err)
		case err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v", tt.address, err)
		}
	}
}

// TestAuthorization: a password or a token goes in a header, to the named host alone, and
// not in the address.
func TestAuthorization(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Error("the other was asked") }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		if strings.Contains(r.URL.String(), "s3cret") {
			t.Error(r.URL)
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, tt := range []struct{ user, password, token, want string }{
		{"", "", "", ""},
		{"me@", "s3cret", "", "Basic bWU6czNjcmV0"},
		{"", "s3cret", "", "Basic ZGVmYXVsdDpzM2NyZXQ="},
		{"me@", "s3cret", "t0ken", "Bearer t0ken"},
	} {
		t.Setenv(clickhouse.PasswordVariable, tt.password)
		t.Setenv(clickhouse.TokenVariable, tt.token)
		c, err := clickhouse.Open("clickhouse://" + tt.user + host + "/elsa")
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		err = c.Exec(t.Context(), "SELECT 1")
		if len(got) != 1 || got[0] != tt.want {
			t.Errorf("%q: %q", tt, got)
		}
		if err == nil || !strings.Contains(err.Error(), "it answers 307") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a redirection: %v", err)
		}
	}
}

// certificate is one for localhost, signed by itself.
func certificate(t *testing.T, name string, from, to time.Time) (pair tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to, DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// TestTLS: a certificate that is not what it should be has one line that says what it is.
func TestTLS(t *testing.T) {
	now := time.Now()
	serve := func(name string, from, to time.Time) (port, file string) {
		pair, file := certificate(t, name, from, to)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		_, port, err := net.SplitHostPort(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return port, file
	}
	good, ca := serve("localhost", now.Add(-time.Hour), now.Add(time.Hour))
	expired, expiredCA := serve("localhost", now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	named, namedCA := serve("ch.example.org", now.Add(-time.Hour), now.Add(time.Hour))
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	_, plainPort, _ := net.SplitHostPort(plain.Listener.Addr().String())
	for _, tt := range []struct{ name, address, want string }{
		{"good", good + "/elsa?ca=" + ca, ""},
		{"of whom", good + "/elsa?tls=on", "ca=FILE"},
		{"expired", expired + "/elsa?ca=" + expiredCA, "renew it, or set this host's clock"},
		{"another name", named + "/elsa?ca=" + namedCA, "use the name that the certificate has"},
		{"no TLS", plainPort + "/elsa?tls=on", "leave out tls=on"},
		{"nobody", "1/elsa", "connection refused"},
	} {
		c, err := clickhouse.Open("clickhouse://localhost:" + tt.address)
		if err != nil {
			t.Fatal(err)
		}
		switch err := c.Exec(t.Context(), "SELECT 1"); {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", tt.name, err)
		case err != nil && (strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "SELECT")):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestColumns: the table of cells has the columns of the files, and so all figures.
func TestColumns(t *testing.T) {
	have := map[string]bool{}
	for _, c := range clickhouse.Cells.Columns {
		have[c.Name] = true
	}
	for _, name := range cells.Columns() {
		if !have[name] {
			t.Errorf("the table has no column %s", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("the files have no column %s", name)
	}
}

// TestEngine are tests of one engine.
func TestEngine(t *testing.T) {
	s := chdb.Start(t, "elsa", "right")
	t.Run("errors", func(t *testing.T) { engineErrors(t, s) })
	t.Run("schema", func(t *testing.T) { engineSchema(t, s) })
}

// engineErrors: what a real engine refuses has one line, and the mend mends it.
func engineErrors(t *testing.T, s *chdb.Server) {
	database := s.Database(t)
	ask := func(database, password, sql string) error {
		t.Helper()
		t.Setenv(clickhouse.PasswordVariable, password)
		c, err := clickhouse.Open(s.Address("elsa", database))
		if err != nil {
			t.Fatal(err)
		}
		return c.Exec(t.Context(), sql)
	}
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "wrong!") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	const count = "SELECT sum(cpu_delay_ns) FROM cells FINAL"
	if err := ask(database, "right", count); err != nil {
		t.Error(err)
	}
	refused(ask(database, "wrong!", count), "it does not let user elsa in: the password or token is wrong")
	refused(ask("none", "right", count), "there is no database none: run what elsactl fleet schema clickhouse prints")
	s.Run(t, "ALTER TABLE "+database+".cells DROP COLUMN cpu_delay_ns")
	refused(ask(database, "right", count), "a table is of an earlier version")
	refused(ask(database, "right", "INSERT INTO cells (cpu_delay_ns) SELECT 1"), "a table is of an earlier version")
	s.Run(t, "DROP TABLE "+database+".manifests")
	refused(ask(database, "right", "SELECT * FROM manifests"), "a table is missing")
	text, err := clickhouse.Schema(clickhouse.SchemaOptions{Database: database})
	if err != nil {
		t.Fatal(err)
	}
	s.Run(t, text)
	for _, sql := range []string{count, "SELECT * FROM manifests FINAL", "SELECT * FROM segments"} {
		if err := ask(database, "right", sql); err != nil {
			t.Errorf("after the mend: %v", err)
		}
	}
}

// engineSchema: the engine reads each form of the schema; of those for a cluster, which
// this one is not in, as far as it goes.
func engineSchema(t *testing.T, s *chdb.Server) {
	for _, o := range []clickhouse.SchemaOptions{{Database: "a"}, {Database: "b", Replicated: true}, {Database: "c", Cluster: "{cluster}", Replicated: true}, {Database: "d", Cluster: "fleet"}} {
		text, err := clickhouse.Schema(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range strings.Split(text, ";\n") {
			if strings.TrimSpace(sql) != "" {
				s.Run(t, "EXPLAIN AST "+sql)
			}
		}
		for what, want := range map[string]bool{"Replicated": o.Replicated, "ON CLUSTER": o.Cluster != "", "Distributed(": o.Cluster != "", "cityHash64(source)": o.Cluster != "", "SummingMergeTree": false} {
			if strings.Contains(text, what) != want {
				t.Errorf("%+v: %s in\n%s", o, what, text)
			}
		}
	}
	for _, o := range []clickhouse.SchemaOptions{{Database: "a b"}, {Database: ""}, {Database: "a", Cluster: "x'"}} {
		if _, err := clickhouse.Schema(o); err == nil {
			t.Errorf("%+v is made", o)
		}
	}
}
