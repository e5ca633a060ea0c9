# SPDX-License-Identifier: GPL-2.0
"""Sockets of AF_NYM, whose addresses are names.

    server = nym.create_server('hello', mode=0o666)
    client = nym.create_connection('hello', timeout=5)

A nym.Socket is a socket.socket: select, asyncio, makefile() and the rest take it.
Python's own methods cannot pack or read an address of a family that they do not
know; those that have one are here, with the errors, timeouts and retries of theirs.
Names are str or bytes; those that come back are str, '' if there is none.
"""
import contextlib
import ctypes
import errno
import os
import select
import socket
import time

AF_NYM = 18
SOL_NYM = 28281
NYM_WAIT, NYM_SHARE, NYM_LINGER, NYM_PASSRIGHTS, NYM_PASSCRED, NYM_INFO = range(1, 7)
NYM_SHARE_OFF, NYM_SHARE_ON, NYM_SHARE_STICKY = range(3)
NYM_NAME_MAX = 125

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sendto.restype = _libc.recvfrom.restype = ctypes.c_ssize_t


class _Address(ctypes.Structure):
    _fields_ = [('family', ctypes.c_ushort), ('name', ctypes.c_char * (NYM_NAME_MAX + 1))]


def _pack(name):
    """An address and its length, as a call takes them; None lets the kernel choose."""
    text = b'' if name is None else name.encode('ascii') if isinstance(name, str) else name
    if b'\0' in text:
        raise ValueError('null byte in a name')
    if len(text) > NYM_NAME_MAX or not text and name is not None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return ctypes.byref(_Address(AF_NYM, text)), 2 + len(text)


class Socket(socket.socket):
    """A socket.socket whose addresses are names."""

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if fileno is None:
            family = AF_NYM if family == -1 else family
        super().__init__(family, type, proto, fileno)

    def _wait(self, event, deadline):
        poll = select.poll()
        poll.register(self, event)
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            raise TimeoutError('timed out')

    def _call(self, call, *args, event=None, name=None):
        """A system call; again after a signal (PEP 475), or after the event if in time."""
        timeout = self.gettimeout()
        deadline = time.monotonic() + (timeout or 0)
        while (result := getattr(_libc, call)(self.fileno(), *args)) < 0:
            err = ctypes.get_errno()
            if err == errno.EAGAIN and event and timeout:
                self._wait(event, deadline)
            elif err != errno.EINTR:
                raise OSError(err, os.strerror(err), name)
        return result

    def _name(self, call, *args, more=(), event=None):
        """A system call that fills an address: what it returned, and the name."""
        addr, size = _Address(), ctypes.c_uint(ctypes.sizeof(_Address))
        addr_and_size = ctypes.byref(addr), ctypes.byref(size)
        result = self._call(call, *args, *addr_and_size, *more, event=event)
        return result, addr.name.decode('ascii') if size.value > 2 else ''

    def bind(self, name):
        self._call('bind', *_pack(name), name=name)

    def connect(self, name):
        try:
            self._call('connect', *_pack(name), name=name)
        except BlockingIOError as parked:
            if not self.gettimeout() or parked.errno != errno.EINPROGRESS:
                raise
            self._wait(select.POLLOUT, time.monotonic() + self.gettimeout())
            if err := self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(err, os.strerror(err), name) from None

    def connect_ex(self, name):
        try:
            self.connect(name)
        except OSError as err:
            return err.errno or errno.EAGAIN
        return 0

    def accept(self):
        """A connection, and the name of its other end."""
        fd, name = self._name('accept4', more=[socket.SOCK_CLOEXEC], event=select.POLLIN)
        return self.__class__(self.family, self.type, self.proto, fd), name

    def getsockname(self):
        return self._name('getsockname')[1]

    def getpeername(self):
        return self._name('getpeername')[1]

    def sendto(self, data, *flags_and_name):
        """sendto(data[, flags], name)"""
        flags, name = (0, *flags_and_name)[-2:]
        data = bytes(memoryview(data))
        return self._call('sendto', data, ctypes.c_size_t(len(data)), flags, *_pack(name),
                          name=name, event=select.POLLOUT)

    def recvfrom(self, bufsize, flags=0):
        data = ctypes.create_string_buffer(bufsize)
        size, name = self._name('recvfrom', data, ctypes.c_size_t(bufsize), flags,
                                event=select.POLLIN)
        return data.raw[:size], name

    def recvmsg(self, *args):
        """As ever, but with None for the name; socket.recv_fds() needs it."""
        # Python takes the address if it thinks that this is another family.
        with socket.socket(socket.AF_UNIX, self.type, 0, os.dup(self.fileno())) as twin:
            twin.settimeout(self.gettimeout())
            return *twin.recvmsg(*args)[:3], None


def create_server(name, *, type=socket.SOCK_STREAM, mode=None, backlog=128):
    """A socket that listens at a name (of SOCK_DGRAM: has it); mode says who may call."""
    with contextlib.ExitStack() as failure:
        sock = failure.enter_context(Socket(type=type))
        sock.bind(name)
        if mode is not None:
            os.fchmod(sock.fileno(), mode)
        if sock.type != socket.SOCK_DGRAM:
            sock.listen(backlog)
        failure.pop_all()
    return sock


def create_connection(name, timeout=None, *, type=socket.SOCK_STREAM, wait=False):
    """A connection to a name; with wait, also to one that nobody has yet."""
    with contextlib.ExitStack() as failure:
        sock = failure.enter_context(Socket(type=type))
        sock.settimeout(timeout)
        sock.setsockopt(SOL_NYM, NYM_WAIT, wait)
        sock.connect(name)
        failure.pop_all()
    return sock
