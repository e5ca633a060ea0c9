// SPDX-License-Identifier: GPL-2.0

//! The tests of nym.rs, one after the other: they share a name and an effective user.

use nym::{own_name, NymListener, NymStream};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::raw::c_int;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::io::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "t/rust";

extern "C" {
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn seteuid(uid: u32) -> c_int;
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn connect(name: &str) -> io::Result<NymStream> {
    NymStream::connect(name, Some(ms(20000)))
}

/// There is room for one call, and it is taken.
fn full() -> (NymListener, NymStream) {
    let listener = NymListener::bind(NAME, 0o600).unwrap();
    assert_eq!(0, unsafe { listen(listener.0.as_raw_fd(), 0) });
    (listener, connect(NAME).unwrap())
}

fn is_chosen(name: &str) -> bool {
    name.starts_with(':') && u64::from_str_radix(&name[1..], 16).is_ok()
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result
        .err()
        .and_then(|error| error.raw_os_error())
        .unwrap_or(0)
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn names() {
    let listener = NymListener::bind(NAME, 0o600).unwrap();
    let caller = connect(NAME).unwrap();
    let stream = listener.accept().unwrap();
    assert_eq!(NAME, own_name(&listener.0).unwrap());
    assert_eq!(NAME, caller.peer_name);
    assert_eq!(NAME, own_name(&stream.socket).unwrap());
    assert_eq!(own_name(&caller.socket).unwrap(), stream.peer_name);
    assert!(is_chosen(&stream.peer_name));
}

#[test]
fn chosen_name() {
    let listener = NymListener::bind("", 0o600).unwrap();
    let name = own_name(&listener.0).unwrap();
    assert!(is_chosen(&name));
    connect(&name).unwrap();
}

#[test]
fn longest_name() {
    let name = "x".repeat(125);
    let listener = NymListener::bind(&name, 0o600).unwrap();
    connect(&name).unwrap();
    assert_eq!(name, own_name(&listener.0).unwrap());
}

#[test]
fn errors() {
    let listener = NymListener::bind(NAME, 0o600).unwrap();
    assert_eq!(ErrorKind::ConnectionRefused, kind(connect("t/none")));
    assert_eq!(ErrorKind::AddrInUse, kind(NymListener::bind(NAME, 0o600)));
    for name in ["a b", "a@b", "a\0b", "größer", &"x".repeat(126)] {
        assert_eq!(ErrorKind::InvalidInput, kind(connect(name)), "{name}");
        assert_eq!(22, errno(NymListener::bind(name, 0o600)), "{name}");
    }
    assert_eq!(22, errno(connect("")));
    drop(listener);
    assert_eq!(111, errno(connect(NAME)));
}

#[test]
fn permissions() {
    let listener = NymListener::bind(NAME, 0o640).unwrap();
    let path = format!("/proc/self/fd/{}", listener.0.as_raw_fd());
    assert_eq!(
        0o640,
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    );
    unsafe { seteuid(65534) };
    let refused = (
        kind(connect(NAME)),
        kind(NymListener::bind("sys/rust", 0o600)),
    );
    unsafe { seteuid(0) };
    assert_eq!(
        (ErrorKind::PermissionDenied, ErrorKind::PermissionDenied),
        refused
    );
}

#[test]
fn nothing_stays_open() {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    for _ in 0..3 {
        connect("t/none").unwrap_err();
        NymListener::bind("@", 0o600).unwrap_err();
    }
    assert_eq!(before, count());
}

#[test]
fn timeouts() {
    let (_listener, mut caller) = full();
    let start = Instant::now();
    let late = NymStream::connect(NAME, Some(ms(300)));
    assert_eq!(ErrorKind::WouldBlock, kind(late));
    assert!(start.elapsed() > ms(100));
    assert_eq!(
        ErrorKind::WouldBlock,
        kind(NymStream::wait("t/none", Some(ms(100))))
    );
    caller.socket.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(ErrorKind::WouldBlock, kind(caller.read(&mut [0])));
}

#[test]
fn parked() {
    let (listener, _caller) = full();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(ms(300));
            let _first = listener.accept().unwrap();
            let mut byte = [0];
            assert_eq!(1, listener.accept().unwrap().read(&mut byte).unwrap());
        });
        connect(NAME).unwrap().write_all(b"x").unwrap();
    });
}

#[test]
fn parked_and_refused() {
    let (listener, _caller) = full();
    let closer = thread::spawn(move || {
        thread::sleep(ms(300));
        drop(listener);
    });
    assert_eq!(ErrorKind::ConnectionRefused, kind(connect(NAME)));
    closer.join().unwrap();
}

#[test]
fn waiting_for_a_name() {
    let server = thread::spawn(|| {
        thread::sleep(ms(300));
        NymListener::bind(NAME, 0o600).unwrap().accept().unwrap()
    });
    NymStream::wait(NAME, None).unwrap();
    server.join().unwrap();
}

#[test]
fn broken_pipe() {
    let listener = NymListener::bind(NAME, 0o600).unwrap();
    let mut caller = connect(NAME).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(ErrorKind::BrokenPipe, kind(caller.write(b"x")));
}

#[test]
fn a_megabyte() {
    let mut data = vec![0; 1 << 20];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut data)
        .unwrap();
    let listener = NymListener::bind(NAME, 0o600).unwrap();
    let caller = connect(NAME).unwrap();
    let mut back = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let stream = listener.accept().unwrap();
            io::copy(&mut &stream, &mut &stream).unwrap();
        });
        scope.spawn(|| {
            (&caller).write_all(&data).unwrap();
            caller.socket.shutdown(Shutdown::Write).unwrap();
        });
        (&caller).read_to_end(&mut back).unwrap();
    });
    assert!(data == back);
}
