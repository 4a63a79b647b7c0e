//! Bonding: sends standard input over several links at once, or receives such a stream.
//!
//! ```text
//! cargo run --example bonding -- recv 0.0.0.0:9000 > received.ts
//! ffmpeg … -f mpegts - | cargo run --example bonding -- backup 192.0.2.1:9000 198.51.100.1:9000
//! ```

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read, Write},
    net::SocketAddr,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use srt_safe::{ErrorKind, GroupLink, GroupType, MemberState, Options, SocketId, SrtGroup, SrtListener};

const MESSAGE: usize = 1316;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["recv", addr] => receive(addr),
        ["broadcast", ref peers @ ..] if !peers.is_empty() => send(GroupType::Broadcast, peers),
        ["backup", ref peers @ ..] if !peers.is_empty() => send(GroupType::Backup, peers),
        _ => {
            eprintln!("usage: bonding recv <address:port>");
            eprintln!("       bonding broadcast|backup <peer address:port>...   (the first is preferred)");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(bytes) => {
            eprintln!("{bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bonding: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Both sides set the same; the larger value wins.
fn options() -> Options {
    Options::new().latency(Duration::from_millis(500))
}

fn send(kind: GroupType, peers: &[&str]) -> Result<u64> {
    let mut builder = SrtGroup::builder(kind).options(options());
    for (weight, peer) in (1..).zip(peers.iter().rev()) {
        builder = builder.link(GroupLink::new(peer.parse()?).weight(weight));
    }
    let group = builder.connect()?;

    let mut links = Links::default();
    let mut input = io::stdin().lock();
    let mut message = Vec::with_capacity(MESSAGE);
    let mut total = 0;
    loop {
        message.clear();
        input.by_ref().take(MESSAGE as u64).read_to_end(&mut message)?;
        if message.is_empty() {
            break;
        }
        total += group.send(&message)? as u64;
        links.report(&group)?;
    }
    // A group does not report unsent data: give the links the latency to deliver it.
    thread::sleep(Duration::from_millis(1000));
    Ok(total)
}

fn receive(addr: &str) -> Result<u64> {
    let listener = SrtListener::builder()
        .options(options().group_connect(true))
        .bind(addr)?;
    eprintln!("listening on {}", listener.local_addr()?);
    let (socket, _) = listener.accept()?;
    // The listener stays open: further links of the group arrive through it, and join by themselves.
    let mut links = Links::default();
    match SrtGroup::try_from(socket) {
        Ok(group) => write_out(|message| {
            links.report(&group)?;
            group.recv(message)
        }),
        Err(plain) => {
            let socket = plain.into_socket();
            write_out(|message| socket.recv(message))
        }
    }
}

fn write_out(mut recv: impl FnMut(&mut [u8]) -> srt_safe::Result<usize>) -> Result<u64> {
    let mut output = io::stdout().lock();
    let mut message = [0; 1456];
    let mut total = 0;
    loop {
        match recv(&mut message) {
            Ok(len) => {
                output.write_all(&message[..len])?;
                total += len as u64;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionLost => break,
            Err(error) => return Err(error.into()),
        }
    }
    output.flush()?;
    Ok(total)
}

/// Prints each change of a link's state; polls a few times a second.
#[derive(Default)]
struct Links {
    looked: Option<Instant>,
    known: BTreeMap<SocketId, (Option<SocketAddr>, MemberState)>,
}

impl Links {
    fn report(&mut self, group: &SrtGroup) -> srt_safe::Result<()> {
        if self
            .looked
            .is_some_and(|at| at.elapsed() < Duration::from_millis(200))
        {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let now: BTreeMap<_, _> = group
            .members()?
            .iter()
            .map(|member| (member.id, (member.peer, member.state)))
            .collect();
        for (id, link) in &now {
            if self.known.get(id) != Some(link) {
                eprintln!("link {}: {}", peer(link.0), link.1);
            }
        }
        for (id, link) in &self.known {
            if !now.contains_key(id) {
                eprintln!("link {}: gone", peer(link.0));
            }
        }
        self.known = now;
        Ok(())
    }
}

fn peer(addr: Option<SocketAddr>) -> String {
    addr.map_or_else(|| "?".to_owned(), |addr| addr.to_string())
}
