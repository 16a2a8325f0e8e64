// SPDX-License-Identifier: Apache-2.0

// Package clickhouse speaks with a ClickHouse server over HTTP: statements, inserts of
// files as they are, and answers as rows. It has the tables of a fleet ([Schema]), and
// says in one line what is wrong and how to mend it. It has no secrets in errors.
package clickhouse

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// Scheme begins an address.
const Scheme = "clickhouse"

// Variables of the environment that have secrets, or name files that have them.
const (
	PasswordVariable     = "ELSA_CLICKHOUSE_PASSWORD"
	PasswordFileVariable = "ELSA_CLICKHOUSE_PASSWORD_FILE"
	TokenVariable        = "ELSA_CLICKHOUSE_TOKEN"
	TokenFileVariable    = "ELSA_CLICKHOUSE_TOKEN_FILE"
)

const (
	plainPort, tlsPort = "8123", "8443"
	// answerWithin bounds a request. An insert waits for replicas that do not answer.
	answerWithin = 5 * time.Minute
	maxSecret    = 4096
)

// Client speaks with one database. Its methods are safe for concurrent use; they block
// until the server answers, ctx ends or five minutes are over.
type Client struct {
	url           url.URL
	database      string
	user          string // "" is the server's default
	authorization string // a header, or ""
	http          *http.Client
}

var word = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Open reads an address, clickhouse://[USER@]HOST[:PORT]/DATABASE[?tls=on&ca=FILE], and
// the password or token. Nothing is asked of the server yet.
func Open(address string) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("open clickhouse: the address cannot be read; use clickhouse://[USER@]HOST[:PORT]/DATABASE") // err has it all
	}
	for key := range u.Query() {
		if key != "tls" && key != "ca" {
			return nil, fmt.Errorf("open clickhouse: %q is not known in an address; use tls=on and ca=FILE", key)
		}
	}
	if _, has := u.User.Password(); has {
		return nil, fmt.Errorf("open clickhouse: an address has no password; put it in a file of mode 0600 that %s names, or in %s", PasswordFileVariable, PasswordVariable)
	}
	c := &Client{database: strings.Trim(u.Path, "/"), user: u.User.Username()}
	if u.Hostname() == "" || !word.MatchString(c.database) {
		return nil, errors.New("open clickhouse: use clickhouse://[USER@]HOST[:PORT]/DATABASE")
	}
	secure := u.Query().Get("ca") != ""
	switch tls := u.Query().Get("tls"); {
	case tls == "on":
		secure = true
	case tls == "off" && !secure, tls == "":
	default:
		return nil, fmt.Errorf("open clickhouse: tls=%s in an address; use tls=on", tls)
	}
	c.url = url.URL{Scheme: "http", Host: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), plainPort)), Path: "/"}
	if secure {
		c.url.Scheme, c.url.Host = "https", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), tlsPort))
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if file := u.Query().Get("ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("open clickhouse: read ca: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("open clickhouse: %s has no certificate in PEM", file)
		}
	}
	c.http = &http.Client{Transport: t, Timeout: answerWithin, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a secret is for this host alone
	}}
	return c, c.authorize()
}

// authorize makes the header that says who asks.
func (c *Client) authorize() error {
	token, err := secret(TokenVariable, TokenFileVariable)
	if err != nil {
		return err
	}
	if token != "" {
		c.authorization = "Bearer " + token
		return nil
	}
	password, err := secret(PasswordVariable, PasswordFileVariable)
	if err != nil {
		return err
	}
	if c.user == "" && password == "" {
		return nil
	}
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(cmp.Or(c.user, "default"), password)
	c.authorization = r.Header.Get("Authorization")
	return nil
}

// secret is what a variable has, or the first line of the file that another names.
func secret(variable, fileVariable string) (string, error) {
	if s := os.Getenv(variable); s != "" {
		return s, nil
	}
	path := os.Getenv(fileVariable)
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open clickhouse: read %s: %w", fileVariable, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("open clickhouse: read %s: %w", fileVariable, err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("open clickhouse: others may read %s (mode %04o); run chmod 600 on it", path, st.Mode().Perm())
	}
	b := make([]byte, maxSecret)
	n, err := f.Read(b)
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", errors.Join(fmt.Errorf("open clickhouse: %s has nothing in its first line", path), err)
	}
	return line, nil
}

// String is the server and database, without a secret.
func (c *Client) String() string { return c.url.Scheme + "://" + c.url.Host + "/" + c.database }
