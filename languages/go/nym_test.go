// SPDX-License-Identifier: GPL-2.0

package nym

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const name = "t/go"

var (
	never  = time.Time{}
	chosen = regexp.MustCompile("^:[0-9a-f]+$")
)

func in(d time.Duration) time.Time { return time.Now().Add(d) }

func option(option int) func(int) error {
	return func(fd int) error { return syscall.SetsockoptInt(fd, Level, option, 1) }
}

func listen(t *testing.T, mode os.FileMode) *Listener {
	t.Helper()
	l, err := Listen(name, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T) *Conn {
	t.Helper()
	c, err := Dial(name, in(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// one leaves room for one call, and takes it.
func one(t *testing.T) *Listener {
	l := listen(t, 0600)
	raw(l.File).Control(func(fd uintptr) { syscall.Listen(int(fd), 0) })
	dial(t)
	return l
}

// wrong checks that an error is net's, and what is in it.
func wrong(t *testing.T, want, err error) {
	t.Helper()
	var op *net.OpError
	if !errors.Is(err, want) || !errors.As(err, &op) {
		t.Errorf("%v (%T), not %v", err, err, want)
	}
}

func TestNames(t *testing.T) {
	l := listen(t, 0600)
	c := dial(t)
	a := accept(t, l)
	for _, s := range [][2]string{
		{l.Addr().String(), name},
		{l.Addr().Network(), "nym"},
		{c.RemoteAddr().String(), name},
		{a.LocalAddr().String(), name},
		{c.LocalAddr().String(), a.RemoteAddr().String()},
	} {
		if s[0] != s[1] {
			t.Errorf("%q, not %q", s[0], s[1])
		}
	}
	if !chosen.MatchString(c.LocalAddr().String()) {
		t.Error(c.LocalAddr())
	}
}

func TestChosenName(t *testing.T) {
	l, err := Listen("", 0600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !chosen.MatchString(l.Addr().String()) {
		t.Error(l.Addr())
	}
	if c, err := Dial(l.Addr().String(), never); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

func TestErrors(t *testing.T) {
	listen(t, 0600)
	_, err := Dial("t/none", never)
	wrong(t, syscall.ECONNREFUSED, err)
	if err.Error() != "dial nym t/none: connection refused" {
		t.Error(err)
	}
	_, err = Listen(name, 0600)
	wrong(t, syscall.EADDRINUSE, err)
	for _, bad := range []string{"a b", "a@b", "a\x00b", "größer", strings.Repeat("x", 126)} {
		_, err = Listen(bad, 0600)
		wrong(t, syscall.EINVAL, err)
		_, err = Dial(bad, never)
		wrong(t, syscall.EINVAL, err)
	}
	_, err = Dial("", never)
	wrong(t, syscall.EINVAL, err)
	if l, err := Listen(strings.Repeat("x", 125), 0600); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

func TestPermission(t *testing.T) {
	l := listen(t, 0600)
	if stat, _ := l.Stat(); stat.Mode().Perm() != 0600 {
		t.Error(stat.Mode())
	}
	syscall.Setreuid(-1, 65534)
	defer syscall.Setreuid(-1, 0)
	_, err := Dial(name, never)
	wrong(t, syscall.EACCES, err)
	wrong(t, os.ErrPermission, err)
	_, err = Listen("sys/go", 0600)
	wrong(t, syscall.EACCES, err)
}

func TestNothingStaysOpen(t *testing.T) {
	before, _ := os.ReadDir("/proc/self/fd")
	for i := 0; i < 3; i++ {
		Dial("t/none", never)
		Listen("@", 0600)
	}
	after, _ := os.ReadDir("/proc/self/fd")
	if len(before) != len(after) {
		t.Error(len(before), len(after))
	}
}

func TestDeadlines(t *testing.T) {
	l := one(t)
	start := time.Now()
	_, err := Dial(name, in(300*time.Millisecond))
	wrong(t, os.ErrDeadlineExceeded, err)
	if time.Since(start) < 100*time.Millisecond {
		t.Error("too early")
	}
	a := accept(t, l)
	a.SetReadDeadline(in(100 * time.Millisecond))
	_, err = a.Read(make([]byte, 1))
	wrong(t, os.ErrDeadlineExceeded, err)
	if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
		t.Errorf("%T is no timeout", err)
	}
	l.SetDeadline(in(100 * time.Millisecond))
	_, err = l.Accept()
	wrong(t, os.ErrDeadlineExceeded, err)
	_, err = Dial("t/none", in(100*time.Millisecond), option(Wait))
	wrong(t, os.ErrDeadlineExceeded, err)
}

func TestParked(t *testing.T) {
	l := one(t)
	time.AfterFunc(300*time.Millisecond, func() { accept(t, l) })
	c := dial(t)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if !chosen.MatchString(c.LocalAddr().String()) {
		t.Error(c.LocalAddr())
	}
	time.AfterFunc(300*time.Millisecond, func() { l.Close() })
	_, err := Dial(name, in(20*time.Second))
	wrong(t, syscall.ECONNREFUSED, err)
}

func TestWait(t *testing.T) {
	called := make(chan error)
	go func() {
		c, err := Dial(name, never, option(Wait))
		if err == nil {
			err = c.Close()
		}
		called <- err
	}()
	time.Sleep(300 * time.Millisecond)
	listen(t, 0600)
	if err := <-called; err != nil {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	l := listen(t, 0600)
	c := dial(t)
	time.AfterFunc(300*time.Millisecond, func() { c.Close() })
	_, err := c.Read(make([]byte, 1))
	wrong(t, net.ErrClosed, err)
	wrong(t, net.ErrClosed, c.CloseWrite())
	accept(t, l)
	time.AfterFunc(300*time.Millisecond, func() { l.Close() })
	_, err = l.Accept()
	wrong(t, net.ErrClosed, err)
}

func TestBrokenPipe(t *testing.T) {
	l := listen(t, 0600)
	c := dial(t)
	accept(t, l).Close()
	_, err := c.Write([]byte("x"))
	wrong(t, syscall.EPIPE, err)
}

func TestMegabyte(t *testing.T) {
	l := listen(t, 0600)
	go func() {
		c, _ := l.Accept()
		io.Copy(c, c)
		c.Close()
	}()
	data := make([]byte, 1<<20)
	rand.Read(data)
	c := dial(t)
	go func() {
		c.Write(data)
		c.CloseWrite()
	}()
	if back, err := io.ReadAll(c); err != nil || !bytes.Equal(back, data) {
		t.Error(len(back), err)
	}
}

// HTTP needs what net.Conn promises: deadlines above all.
func TestHTTP(t *testing.T) {
	l := listen(t, 0600)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	})}
	go server.Serve(l)
	defer server.Close()
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			deadline, _ := ctx.Deadline()
			return Dial(name, deadline)
		},
	}}
	for i := 0; i < 3; i++ {
		r, err := client.Get("http://go/path")
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(r.Body); string(body) != "/path" {
			t.Errorf("%q", body)
		}
		r.Body.Close()
	}
}
