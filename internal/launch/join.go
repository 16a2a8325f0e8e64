// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"strconv"
	"syscall"
	"unicode/utf8"
)

// timeout bounds the wait for the service, in seconds.
const timeout = 15

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// join asks the service to put this process in the group. Stage is empty if it did.
func (c *Command) join() Failure {
	fd, errno := connect(c.Socket)
	if errno != 0 {
		return Failure{Stage: Connect, Errno: errno}
	}
	defer syscall.Close(fd)
	body := `{"labels":{"command":` + quote(base(c.Argv[0])) + `}}`
	if c.Group != "" {
		body = `{"group":` + quote(c.Group) + `}`
	}
	if errno := writeAll(fd, "POST /v1/join HTTP/1.1\r\nHost: elsad\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "+
		strconv.Itoa(len(body))+"\r\n\r\n"+body); errno != 0 {
		return Failure{Stage: Ask, Errno: errno}
	}
	answer, errno := readAll(fd)
	if errno != 0 {
		return Failure{Stage: Ask, Errno: errno}
	}
	return understand(answer)
}

// understand reads an answer to join.
func understand(answer string) Failure {
	head, body, ok := cut(answer, "\r\n\r\n")
	_, rest, _ := cut(head, " ")
	number, _, _ := cut(rest, " ")
	status, err := strconv.Atoi(number)
	if !ok || err != nil || head[:min(7, len(head))] != "HTTP/1." {
		return Failure{Stage: Ask, Errno: syscall.EPROTO}
	}
	if status != 200 {
		return Failure{Stage: Refused, Status: status, Body: body}
	}
	// A name has no character that JSON escapes.
	_, rest, _ = cut(body, `"group":"`)
	name, rest, ok := cut(rest, `"`)
	if !ok {
		return Failure{Stage: Ask, Errno: syscall.EPROTO}
	}
	return Failure{Group: name, Created: contains(rest, `"created":true`)}
}

func connect(path string) (fd int, errno syscall.Errno) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, code(err)
	}
	wait := syscall.Timeval{Sec: timeout}
	for _, option := range []int{syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO} {
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, option, &wait)
	}
	for {
		switch err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err {
		case nil:
			return fd, 0
		case syscall.EINTR:
		default:
			syscall.Close(fd)
			return -1, code(err)
		}
	}
}

func writeAll(fd int, s string) syscall.Errno {
	for b := []byte(s); len(b) > 0; {
		n, err := syscall.Write(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return code(err)
		}
		b = b[n:]
	}
	return 0
}

// readAll reads to the end, or up to maxAnswer.
func readAll(fd int) (string, syscall.Errno) {
	buf := make([]byte, 0, 4096)
	for len(buf) < maxAnswer {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := syscall.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return "", code(err)
		case n == 0:
			return string(buf), 0
		default:
			buf = buf[:len(buf)+n]
		}
	}
	return string(buf), 0
}

// code is the errno of an error of a system call; a timeout is ETIMEDOUT.
func code(err error) syscall.Errno {
	errno, ok := err.(syscall.Errno)
	switch {
	case !ok:
		return syscall.EINVAL
	case errno == syscall.EAGAIN:
		return syscall.ETIMEDOUT
	}
	return errno
}

// base is what follows the last slash.
func base(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}

// cut is [strings.Cut].
func cut(s, sep string) (before, after string, found bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if s[i:i+len(sep)] == sep {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

func contains(s, part string) bool {
	_, _, found := cut(s, part)
	return found
}

// quote writes a JSON string; what cannot be printed becomes \xNN in it.
func quote(s string) string {
	b := []byte{'"'}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"', r == '\\':
			b = append(b, '\\', s[i])
		case strconv.IsPrint(r) && (r != utf8.RuneError || n > 1):
			b = append(b, s[i:i+n]...)
		default:
			for _, c := range []byte(s[i : i+n]) {
				b = append(b, `\\x`...)
				b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			}
		}
		i += n
	}
	return string(append(b, '"'))
}
