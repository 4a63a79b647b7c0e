//! Sends standard input, or receives to standard output, with an SRT stack in Rust: rsrt or srt-tokio.
//!
//! usage: rust-peers rsrt|srt-tokio send|receive call|listen URL
//!        rust-peers versions

use std::{
    collections::HashMap,
    error::Error,
    io,
    net::{Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, stdin, stdout};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Seven TS packets.
const CHUNK: usize = 1316;

/// `srt://HOST:PORT?key=value&...`; values may be percent-encoded.
struct Target {
    addr: String,
    parameters: HashMap<String, String>,
}

impl Target {
    fn parse(url: &str) -> Outcome<Self> {
        let rest = url
            .strip_prefix("srt://")
            .ok_or("the URL must begin with srt://")?;
        let (addr, query) = rest.split_once('?').unwrap_or((rest, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Ok(Self {
            addr: addr.to_owned(),
            parameters: pairs
                .map(|(key, value)| (key.to_owned(), decoded(value)))
                .collect(),
        })
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(String::as_str)
    }

    fn latency(&self) -> Outcome<Option<Duration>> {
        let millis = self.get("latency").map(str::parse).transpose()?;
        Ok(millis.map(Duration::from_millis))
    }
}

fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The next piece of standard input; None at its end.
async fn piece() -> io::Result<Option<Bytes>> {
    let mut bytes = vec![0; CHUNK];
    match stdin().read_exact(&mut bytes).await {
        Ok(_) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(bytes).await?;
    out.flush().await
}

async fn with_rsrt(target: &Target, sends: bool, calls: bool) -> Outcome {
    let mut options = rsrt::SrtOptions::default();
    if let Some(latency) = target.latency()? {
        options = options.latency(latency).peer_latency(latency);
    }
    if let Some(streamid) = target.get("streamid") {
        options = options.streamid(streamid);
    }
    if let Some(passphrase) = target.get("passphrase") {
        options = options.passphrase(passphrase);
    }
    options = match target.get("pbkeylen") {
        Some("16") => options.pbkeylen(rsrt::KeyLength::Aes128),
        Some("24") => options.pbkeylen(rsrt::KeyLength::Aes192),
        Some("32") => options.pbkeylen(rsrt::KeyLength::Aes256),
        _ => options,
    };
    let mut socket = if calls {
        rsrt::SrtSocket::connect(target.addr.as_str(), options).await?
    } else {
        rsrt::SrtListener::bind(target.addr.as_str(), options)
            .await?
            .accept()
            .await?
            .0
    };
    if sends {
        while let Some(bytes) = piece().await? {
            socket.send(&bytes).await?;
        }
        socket.close().await?;
    } else {
        while let Some(bytes) = socket.recv().await? {
            write(&bytes).await?;
        }
    }
    Ok(())
}

async fn with_srt_tokio(target: &Target, sends: bool, calls: bool) -> Outcome {
    let mut builder = srt_tokio::SrtSocket::builder();
    if let Some(latency) = target.latency()? {
        builder = builder.latency(latency);
    }
    if let Some(passphrase) = target.get("passphrase") {
        builder = builder.encryption(target.get("pbkeylen").unwrap_or("16").parse()?, passphrase);
    }
    let addr: SocketAddr = target.addr.parse()?;
    let mut socket = if calls {
        // Otherwise its own address is 0.0.0.0, whatever it calls.
        if addr.is_ipv6() {
            builder = builder.local_ip(Ipv6Addr::UNSPECIFIED.into());
        }
        builder.call(addr, target.get("streamid")).await?
    } else {
        builder.listen_on(addr).await?
    };
    if sends {
        while let Some(bytes) = piece().await? {
            socket.send((Instant::now(), bytes)).await?;
        }
        socket.close().await?;
    } else {
        while let Some((_, bytes)) = socket.try_next().await? {
            write(&bytes).await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|what| what == "versions") {
        print!("{}", include_str!("../Cargo.toml"));
        return Ok(());
    }
    let [_, stack, what, how, url] = arguments.as_slice() else {
        return Err("usage: rust-peers rsrt|srt-tokio send|receive call|listen URL".into());
    };
    let target = Target::parse(url)?;
    let (sends, calls) = (what == "send", how == "call");
    match stack.as_str() {
        "rsrt" => with_rsrt(&target, sends, calls).await,
        "srt-tokio" => with_srt_tokio(&target, sends, calls).await,
        other => Err(format!("no stack is called {other}").into()),
    }
}
