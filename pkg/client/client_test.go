// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// dead leaves a socket that nobody listens at.
func dead(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestClientUnreachable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ask := func() error {
		_, err := New(path).Status(t.Context())
		return err
	}
	missing := ask()
	dead(t, path)
	refused := ask()
	for _, tc := range []struct {
		name  string
		err   error
		cause error
		want  string
	}{
		{"missing", missing, syscall.ENOENT, "cannot reach elsad at " + path + ": connect: no such file or directory: is it running? (systemctl start elsad, or --socket)"},
		{"refused", refused, syscall.ECONNREFUSED, "cannot reach elsad at " + path + ": connect: connection refused: is it running? (systemctl start elsad, or --socket)"},
	} {
		var u *UnreachableError
		if !errors.As(tc.err, &u) || !errors.Is(tc.err, tc.cause) || tc.err.Error() != tc.want {
			t.Errorf("%s: error %v, want %s", tc.name, tc.err, tc.want)
		}
	}
}

// Whoever asks elsad needs nothing but the standard library for it.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != "elsa/pkg/client" {
		t.Errorf("beyond the standard library it depends on\n%s", got)
	}
}

// Somebody else listens at the path.
func TestClientStrangeAnswer(t *testing.T) {
	for _, tc := range []struct {
		name, answer, want string
	}{
		{"nothing", "", "ask elsad at "},
		{"no HTTP", "220 mail.example ESMTP\r\n", "malformed HTTP"},
		{"text", "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nno\n", `unexpected answer "502 Bad Gateway"`},
		{"broken problem", "HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n[]", `unexpected answer "403 Forbidden"`},
		{"not JSON", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "read answer of elsad"},
		{"cut short", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"time\":", "read answer of elsad"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Read(make([]byte, 4096))
					c.Write([]byte(tc.answer))
					c.Close()
				}
			}()
			_, err = New(path).Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want it to say %q", err, tc.want)
			}
		})
	}
}
