//! Waits for one caller and writes its data to standard output.
//!
//! ```text
//! cargo run --example recv -- 127.0.0.1:9000 > received.ts
//! ```

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use srt_safe::{ErrorKind, SrtListener};

fn main() -> ExitCode {
    let Some(addr) = env::args().nth(1).filter(|_| env::args().len() == 2) else {
        eprintln!("usage: recv <address:port> > stream.ts");
        return ExitCode::from(2);
    };
    match receive(&addr) {
        Ok(bytes) => {
            eprintln!("received {bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("recv: {error}");
            ExitCode::FAILURE
        }
    }
}

fn receive(addr: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let listener = SrtListener::bind(addr)?;
    eprintln!("listening on {}", listener.local_addr()?);
    let (socket, peer) = listener.accept()?;
    eprintln!("{peer} connected");
    // This example takes one caller: libsrt refuses further ones from now on.
    listener.close()?;

    let mut output = io::stdout().lock();
    let mut message = [0; 1456];
    let mut total = 0;
    loop {
        match socket.recv(&mut message) {
            Ok(len) => {
                output.write_all(&message[..len])?;
                total += len as u64;
            }
            // In live mode an orderly close by the peer looks the same.
            Err(error) if error.kind() == ErrorKind::ConnectionLost => break,
            Err(error) => return Err(error.into()),
        }
    }
    output.flush()?;
    Ok(total)
}
