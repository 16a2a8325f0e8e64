// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Codes of exceptions, of src/Common/ErrorCodes.cpp.
const (
	noSuchColumn      = 16
	unknownIdentifier = 47
	unknownTable      = 60
	unknownDatabase   = 81
	readonly          = 164
	unknownUser       = 192
	wrongPassword     = 193
	noPassword        = 194
	notEnoughSpace    = 243
	tooManyParts      = 252
	accessDenied      = 497
	noAuthentication  = 516
)

// runSchema is how tables are made, and those of an earlier version get what they lack.
const runSchema = "run what elsactl fleet schema clickhouse prints, as with clickhouse-client --multiquery"

// Error is a refusal of the server.
type Error struct {
	Code   int // of an exception; 0: none was told
	Status int // of HTTP
	text   string
}

func (e *Error) Error() string { return e.text }

// failed is an error without an answer.
func (c *Client) failed(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // it has the whole statement
	}
	where, mend := c.String(), ""
	switch {
	case isCertificate(err, x509.Expired):
		invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
		return fmt.Errorf("ask %s: its certificate is valid from %s to %s alone: renew it, or set this host's clock: %w", where,
			invalid.Cert.NotBefore.UTC().Format(time.DateTime), invalid.Cert.NotAfter.UTC().Format(time.DateTime), x509.CertificateInvalidError{Reason: x509.Expired})
	case is[x509.UnknownAuthorityError](err):
		mend = "; name the file of the authority that signed it by ca=FILE in the address"
	case is[x509.HostnameError](err):
		mend = "; use the name that the certificate has"
	case is[tls.RecordHeaderError](err), errors.Is(err, http.ErrSchemeMismatch):
		mend = "; the port speaks no TLS: leave out tls=on, or use the port for HTTPS"
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the answer is cut off: %w", err)
	}
	return fmt.Errorf("ask %s: %w%s", where, err, mend)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isCertificate(err error, reason x509.InvalidReason) bool {
	e, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && e.Reason == reason && e.Cert != nil
}

var codeText = regexp.MustCompile(`^Code: (\d+)\.`)

// refused is what the server says instead of an answer, with the mend where there is one.
func (c *Client) refused(res *http.Response, body string) error {
	e := &Error{Status: res.StatusCode}
	e.Code, _ = strconv.Atoi(res.Header.Get("X-ClickHouse-Exception-Code"))
	if m := codeText.FindStringSubmatch(body); m != nil && e.Code == 0 {
		e.Code, _ = strconv.Atoi(m[1])
	}
	said, where := oneLine(body), c.String()
	who := "the default user"
	if c.user != "" {
		who = "user " + c.user
	}
	switch e.Code {
	case wrongPassword, noPassword, unknownUser, noAuthentication:
		e.text = fmt.Sprintf("ask %s: it does not let %s in: the password or token is wrong; it is that of %s or %s, or of the file that %s or %s names",
			where, who, PasswordVariable, TokenVariable, PasswordFileVariable, TokenFileVariable)
	case accessDenied:
		e.text = fmt.Sprintf("ask %s: %s may not do this: %s; grant it, see docs/fleet.md", where, who, said)
	case readonly:
		e.text = fmt.Sprintf("ask %s: %s may not change settings of a query (%s): give its profile readonly = 2", where, who, said)
	case unknownDatabase:
		e.text = fmt.Sprintf("ask %s: there is no database %s: %s", where, c.database, runSchema)
	case unknownTable:
		e.text = fmt.Sprintf("ask %s: a table is missing (%s): %s", where, said, runSchema)
	case noSuchColumn, unknownIdentifier:
		e.text = fmt.Sprintf("ask %s: a table is of an earlier version (%s): %s", where, said, runSchema)
	case tooManyParts:
		e.text = fmt.Sprintf("ask %s: it cannot merge as fast as hosts deliver (%s): deliver less often, by every: of ship", where, said)
	case notEnoughSpace:
		e.text = fmt.Sprintf("ask %s: its disk is full (%s)", where, said)
	default:
		if said == "" {
			said = res.Status
		}
		e.text = fmt.Sprintf("ask %s: it answers %d: %s", where, res.StatusCode, said)
		if res.StatusCode/100 == 3 {
			e.text += "; name the server that it points to"
		}
	}
	return e
}

var noise = regexp.MustCompile(`^Code: \d+\. (DB::(Net)?Exception: )?| \(version [^)]*\)|Stack trace:[^\x00]*`)

// oneLine is what an exception says, short.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(noise.ReplaceAllString(s, "")), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return strings.TrimSuffix(s, ".")
}
