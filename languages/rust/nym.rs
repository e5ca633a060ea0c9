// SPDX-License-Identifier: GPL-2.0

//! Streams of AF_NYM, whose addresses are names, with the standard library alone. What
//! fails gives the `io::Error` of the system call: `InvalidInput` for what is no name.

use std::io::{self, Read, Write};
use std::os::raw::c_int;
use std::os::unix::io::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const AF_NYM: u16 = 18;
const SOL_NYM: c_int = 28281;
const NYM_WAIT: c_int = 1;
const SOCK_STREAM: c_int = 1;
const SOCK_CLOEXEC: c_int = 0o2000000;

/// `struct sockaddr_nym`, in bytes
type Address = [u8; 128];

extern "C" {
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, addr: *const Address, len: u32) -> c_int;
    fn connect(fd: c_int, addr: *const Address, len: u32) -> c_int;
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn accept4(fd: c_int, addr: *mut Address, len: *mut u32, flags: c_int) -> c_int;
    fn getsockname(fd: c_int, addr: *mut Address, len: *mut u32) -> c_int;
    fn fchmod(fd: c_int, mode: u32) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_int, len: u32) -> c_int;
}

/// A system call; again after a signal, as in the standard library.
fn retry(mut call: impl FnMut() -> c_int) -> io::Result<c_int> {
    loop {
        match call() {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => (),
            -1 => return Err(io::Error::last_os_error()),
            result => return Ok(result),
        }
    }
}

/// The kernel knows what a name is, but reads no further than a NUL.
fn pack(name: &str) -> io::Result<(Address, u32)> {
    let mut addr = [0; 128];
    if name.len() > 125 || name.contains('\0') {
        return Err(io::Error::from_raw_os_error(22));
    }
    addr[..2].copy_from_slice(&AF_NYM.to_ne_bytes());
    addr[2..2 + name.len()].copy_from_slice(name.as_bytes());
    Ok((addr, 2 + name.len() as u32))
}

/// What a system call returns that fills an address, and the name there.
fn unpack(call: impl Fn(*mut Address, *mut u32) -> c_int) -> io::Result<(c_int, String)> {
    let mut addr = [0; 128];
    let result = retry(|| call(&mut addr, &mut 128))?;
    let name = addr[2..].split(|&byte| byte == 0).next().unwrap_or(&[]);
    Ok((result, String::from_utf8_lossy(name).into_owned()))
}

fn open() -> io::Result<OwnedFd> {
    let fd = retry(|| unsafe { socket(AF_NYM.into(), SOCK_STREAM | SOCK_CLOEXEC, 0) })?;
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The name of a socket.
pub fn own_name(socket: &impl AsRawFd) -> io::Result<String> {
    let fd = socket.as_raw_fd();
    Ok(unpack(|addr, len| unsafe { getsockname(fd, addr, len) })?.1)
}

/// One end of a connection. All of the socket can be used that has no address.
#[derive(Debug)]
pub struct NymStream {
    pub socket: UnixStream,
    pub peer_name: String,
}

impl NymStream {
    /// Calls a name. With a timeout, `WouldBlock` says that it is over.
    pub fn connect(name: &str, timeout: Option<Duration>) -> io::Result<NymStream> {
        NymStream::call(name, timeout, 0)
    }

    /// Likewise, and if nobody listens, waits until somebody does.
    pub fn wait(name: &str, timeout: Option<Duration>) -> io::Result<NymStream> {
        NymStream::call(name, timeout, 1)
    }

    fn call(name: &str, timeout: Option<Duration>, wait: c_int) -> io::Result<NymStream> {
        let (addr, len) = pack(name)?;
        let socket = UnixStream::from(open()?);
        let fd = socket.as_raw_fd();
        retry(|| unsafe { setsockopt(fd, SOL_NYM, NYM_WAIT, &wait, 4) })?;
        // That is the time that a call may take, too.
        socket.set_write_timeout(timeout)?;
        retry(|| unsafe { connect(fd, &addr, len) })?;
        socket.set_write_timeout(None)?;
        let peer_name = name.to_string();
        Ok(NymStream { socket, peer_name })
    }
}

macro_rules! read_and_write {
    ($stream:ty) => {
        impl Read for $stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&self.socket).read(buf)
            }
        }

        impl Write for $stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&self.socket).write(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}
read_and_write!(NymStream);
read_and_write!(&NymStream);

/// A socket that listens at a name.
#[derive(Debug)]
pub struct NymListener(pub OwnedFd);

impl NymListener {
    /// The mode says who may call: `0o666` is everybody. With `""` the kernel chooses.
    pub fn bind(name: &str, mode: u32) -> io::Result<NymListener> {
        let (addr, len) = pack(name)?;
        let socket = open()?;
        let fd = socket.as_raw_fd();
        retry(|| unsafe { bind(fd, &addr, len) })?;
        retry(|| unsafe { fchmod(fd, mode) })?;
        retry(|| unsafe { listen(fd, 128) })?;
        Ok(NymListener(socket))
    }

    /// Waits for a call.
    pub fn accept(&self) -> io::Result<NymStream> {
        let fd = self.0.as_raw_fd();
        let (fd, peer_name) = unpack(|addr, len| unsafe { accept4(fd, addr, len, SOCK_CLOEXEC) })?;
        let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(NymStream { socket, peer_name })
    }
}
