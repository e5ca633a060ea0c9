// SPDX-License-Identifier: GPL-2.0

// Package nym calls and listens with AF_NYM, whose addresses are names, as package net
// does. Errors are *net.OpError with the errno in them: errors.Is(err, syscall.EACCES).
package nym

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Family is AF_NYM; what follows is for syscall.SetsockoptInt.
const Family, Level, Wait, Share, Linger = 18, 28281, 1, 2, 3
const flags = syscall.SOCK_NONBLOCK | syscall.SOCK_CLOEXEC

// Addr is a name. It is a net.Addr.
type Addr string

func (a Addr) Network() string { return "nym" }
func (a Addr) String() string  { return string(a) }

type sockaddr struct {
	family uint16
	name   [126]byte
}

// give is a system call that takes an address. It does not block.
func give(nr, fd uintptr, name string) error {
	a := sockaddr{family: Family}
	// The kernel knows what a name is, but reads no further than a NUL.
	if copy(a.name[:125], name) < len(name) || strings.Contains(name, "\x00") {
		return syscall.EINVAL
	}
	if _, _, e := syscall.Syscall(nr, fd, uintptr(unsafe.Pointer(&a)), uintptr(2+len(name))); e != 0 {
		return e
	}
	return nil
}

// take is a system call that fills an address, likewise.
func take(nr, fd uintptr) (uintptr, string, syscall.Errno) {
	addr, size := sockaddr{}, unsafe.Sizeof(sockaddr{})
	result, _, errno := syscall.Syscall6(nr, fd, uintptr(unsafe.Pointer(&addr)),
		uintptr(unsafe.Pointer(&size)), flags, 0, 0)
	name, _, _ := strings.Cut(string(addr.name[:]), "\x00")
	return result, name, errno
}

// open makes a socket and takes the steps, until one fails.
func open(steps ...func(fd int) error) (fd int, err error) {
	fd, err = syscall.Socket(Family, syscall.SOCK_STREAM|flags, 0)
	for i := 0; err == nil && i < len(steps); i++ {
		err = steps[i](fd)
	}
	return fd, err
}

// fail makes net's errors of those of system calls and of os.File.
func fail(op, name string, err error) error {
	if err == nil || err == io.EOF {
		return err
	} else if !errors.As(err, new(syscall.Errno)) && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "nym", Addr: Addr(name), Err: err}
}

// Conn is a net.Conn.
type Conn struct{ *os.File }

// Listener is a net.Listener. Its Chmod says anew who may call.
type Listener struct{ *os.File }

// Listen is for calls of those who may by the mode: 0666 is everybody. With "" the kernel
// chooses the name. The functions come first, and may set options.
func Listen(name string, mode os.FileMode, first ...func(fd int) error) (*Listener, error) {
	fd, err := open(append(first,
		func(fd int) error { return give(syscall.SYS_BIND, uintptr(fd), name) },
		func(fd int) error { return syscall.Fchmod(fd, uint32(mode)) },
		func(fd int) error { return syscall.Listen(fd, syscall.SOMAXCONN) })...)
	if err != nil {
		syscall.Close(fd)
		return nil, fail("listen", name, err)
	}
	_, name, _ = take(syscall.SYS_GETSOCKNAME, uintptr(fd))
	return &Listener{os.NewFile(uintptr(fd), name)}, nil
}

func (l *Listener) Accept() (net.Conn, error) {
	fd, peer, errno := uintptr(0), "", syscall.EAGAIN
	err := raw(l.File).Read(func(s uintptr) bool {
		fd, peer, errno = take(syscall.SYS_ACCEPT4, s)
		return errno != syscall.EAGAIN
	})
	if err == nil && errno == 0 {
		return &Conn{os.NewFile(fd, peer)}, nil
	} else if err == nil {
		err = errno
	}
	return nil, fail("accept", l.Name(), err)
}

// Dial calls a name, until the deadline if there is one. The functions come first.
func Dial(name string, deadline time.Time, first ...func(fd int) error) (*Conn, error) {
	connect := func(fd int) error { return give(syscall.SYS_CONNECT, uintptr(fd), name) }
	fd, err := open(append(first, connect)...)
	c := &Conn{os.NewFile(uintptr(fd), name)}
	if err == syscall.EINPROGRESS {
		c.SetDeadline(deadline)
		parked := func(uintptr) bool { err = connect(fd); return err != syscall.EALREADY }
		if raw(c.File).Write(parked) != nil {
			err = os.ErrDeadlineExceeded
		}
		c.SetDeadline(time.Time{})
	}
	if err != nil && err != syscall.EISCONN {
		c.Close()
		return nil, fail("dial", name, err)
	}
	return c, nil
}

func (c *Conn) LocalAddr() net.Addr {
	var local string
	raw(c.File).Control(func(fd uintptr) { _, local, _ = take(syscall.SYS_GETSOCKNAME, fd) })
	return Addr(local)
}

// CloseWrite tells the peer that nothing more comes.
func (c *Conn) CloseWrite() error {
	err := net.ErrClosed
	raw(c.File).Control(func(fd uintptr) { err = syscall.Shutdown(int(fd), syscall.SHUT_WR) })
	return fail("close", c.Name(), err)
}

func raw(f *os.File) syscall.RawConn        { r, _ := f.SyscallConn(); return r }
func (l *Listener) Addr() net.Addr          { return Addr(l.Name()) }
func (c *Conn) RemoteAddr() net.Addr        { return Addr(c.Name()) }
func (c *Conn) Read(b []byte) (int, error)  { return c.data("read", c.File.Read, b) }
func (c *Conn) Write(b []byte) (int, error) { return c.data("write", c.File.Write, b) }
func (c *Conn) data(op string, do func([]byte) (int, error), b []byte) (int, error) {
	n, err := do(b)
	return n, fail(op, c.Name(), err)
}
