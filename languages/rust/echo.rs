// SPDX-License-Identifier: GPL-2.0

//! Echo in Rust. "echo -l NAME" sends everybody back what they say; "echo NAME" says its
//! standard input there and prints what comes back.

use nym::{NymListener, NymStream};
use std::net::Shutdown;
use std::time::Duration;
use std::{env, io, process, thread};

fn serve(name: &str) -> io::Result<()> {
    let listener = NymListener::bind(name, 0o666)?;
    loop {
        let stream = listener.accept()?;
        thread::spawn(move || io::copy(&mut &stream, &mut &stream));
    }
}

/// One thread says, the other one listens.
fn call(name: &str) -> io::Result<()> {
    let stream = NymStream::connect(name, Some(Duration::from_secs(10)))?;
    thread::scope(|scope| {
        scope.spawn(|| {
            io::copy(&mut io::stdin(), &mut &stream)?;
            stream.socket.shutdown(Shutdown::Write)
        });
        io::copy(&mut &stream, &mut io::stdout()).map(|_| ())
    })
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["-l", name] => serve(name),
        [name] => call(name),
        _ => {
            eprintln!("usage: echo [-l] NAME");
            process::exit(2);
        }
    };
    if let Err(error) = result {
        eprintln!("echo: {}: {}", words[words.len() - 1], error);
        process::exit(1);
    }
}
