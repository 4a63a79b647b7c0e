//! Sends each message back to its sender, on tokio: one task per caller, one reactor thread for all.
//!
//! `async_echo [ADDRESS]` (default 127.0.0.1:9000).

use std::env;

use srt_safe::{AsyncSrtListener, AsyncSrtSocket, ErrorKind, Reactor, Result, SrtListener};

#[tokio::main]
async fn main() -> Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let reactor = Reactor::new()?;
    let listener = AsyncSrtListener::new(SrtListener::bind(address.as_str())?, &reactor);
    println!("listening on {}", listener.get_ref().local_addr()?);
    loop {
        let (socket, peer) = listener.accept().await?;
        tokio::spawn(async move {
            match echo(&socket).await {
                Ok(()) => println!("{peer}: left"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

async fn echo(socket: &AsyncSrtSocket) -> Result<()> {
    let mut buffer = [0; 1500];
    loop {
        let len = match socket.recv(&mut buffer).await {
            Ok(len) => len,
            // In live mode this is how a peer leaves.
            Err(error) if error.kind() == ErrorKind::ConnectionLost => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.send(&buffer[..len]).await?;
    }
}
