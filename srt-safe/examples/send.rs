//! Calls a listener and sends standard input, in messages of seven MPEG-TS packets.
//!
//! ```text
//! ffmpeg -re -i film.mp4 -c copy -f mpegts - | cargo run --example send -- 127.0.0.1:9000 '#!::r=live/film,m=publish'
//! ```

use std::{
    env,
    io::{self, Read},
    process::ExitCode,
    thread,
    time::Duration,
};

use srt_safe::{Options, Passphrase, SrtSocket, StreamId, opt};

/// Seven packets of 188 bytes: the usual message of live streams, and libsrt's default limit.
const MESSAGE: usize = 1316;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [addr] => send(addr, "", None),
        [addr, stream_id] => send(addr, stream_id, None),
        [addr, stream_id, passphrase] => send(addr, stream_id, Some(passphrase)),
        _ => {
            eprintln!("usage: send <host:port> [streamid [passphrase]] < stream.ts");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(bytes) => {
            eprintln!("sent {bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("send: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(addr: &str, stream_id: &str, passphrase: Option<&str>) -> Result<u64, Box<dyn std::error::Error>> {
    let mut options = Options::new().latency(Duration::from_millis(200));
    if let Some(passphrase) = passphrase {
        options = options.passphrase(Passphrase::new(passphrase)?);
    }
    let socket = SrtSocket::builder()
        .options(options)
        .stream_id(StreamId::new(stream_id)?)
        .connect(addr)?;

    let mut input = io::stdin().lock();
    let mut message = Vec::with_capacity(MESSAGE);
    let mut total = 0;
    loop {
        message.clear();
        // A read from a pipe may return less: collect a whole message, except for the last one.
        input.by_ref().take(MESSAGE as u64).read_to_end(&mut message)?;
        if message.is_empty() {
            break;
        }
        total += socket.send(&message)? as u64;
    }
    // Closing a live connection drops packets that the peer has not acknowledged, including those that wait for their
    // playing time.
    while socket.unsent()?.packets > 0 {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(socket.option::<opt::PeerLatency>()? + Duration::from_millis(100));
    Ok(total)
}
