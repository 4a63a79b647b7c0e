//! The shortest correct relay: one thread, one epoll, one buffer, no configuration. Its cost is the minimum for any
//! relay on this crate.
//!
//! `bare_relay [ADDRESS [PASSPHRASE]]` (default 127.0.0.1:9998, not encrypted). Publish with the streamid
//! `#!::r=NAME,m=publish`, play with `#!::r=NAME,m=request`. If a viewer has no room for a packet, the relay skips the
//! packet for that viewer, and counts it.

use std::{
    collections::{HashMap, HashSet},
    env,
    sync::{Arc, Mutex},
};

use srt_safe::{
    AccessRequest, Admission, Epoll, Events, Interest, Mode, Options, Passphrase, RejectCode, Result,
    SocketId, SrtListener, SrtSocket, Trigger,
};

#[derive(Default)]
struct Stream {
    name: String,
    publisher: Option<SrtSocket>,
    viewers: Vec<SrtSocket>,
    received: u64,
    sent: u64,
    skipped: u64,
}

/// Index into the streams.
#[derive(Clone, Copy)]
enum Role {
    Publisher(usize),
    Viewer(usize),
}

struct Relay {
    listener: SrtListener,
    epoll: Epoll,
    streams: Vec<Stream>,
    roles: HashMap<SocketId, Role>,
    /// Streams that have a publisher. The listen callback refuses a second one.
    taken: Arc<Mutex<HashSet<String>>>,
}

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let mut options = Options::new();
    if let Some(passphrase) = args.next() {
        let passphrase = Passphrase::new(passphrase).expect("a passphrase has 10 to 79 characters");
        options = options.passphrase(passphrase);
    }
    let taken = Arc::new(Mutex::new(HashSet::new()));
    let known = Arc::clone(&taken);
    let listener = SrtListener::builder()
        .options(options)
        .access_control(move |request: &AccessRequest<'_>| match wanted(request) {
            Some((name, Mode::Publish)) if lock(&known).contains(&name) => Err(RejectCode::CONFLICT),
            Some((_, Mode::Publish | Mode::Request)) => Ok(Admission::new()),
            _ => Err(RejectCode::BAD_REQUEST),
        })
        .nonblocking()
        .bind(address.as_str())?;
    println!("listening on {}", listener.local_addr()?);

    let epoll = Epoll::new()?;
    epoll
        .registry()
        .add(&listener, Interest::READABLE, Trigger::Edge)?;
    let mut relay = Relay {
        listener,
        epoll,
        streams: Vec::new(),
        roles: HashMap::new(),
        taken,
    };
    let mut events = Events::with_capacity(1024);
    let mut buffer = [0; 1500];
    loop {
        relay.epoll.wait(&mut events, None)?;
        for event in &events {
            match relay.roles.get(&event.socket()).copied() {
                Some(Role::Publisher(stream)) => relay.pass_on(stream, event.socket(), &mut buffer)?,
                Some(Role::Viewer(stream)) => relay.viewer_left(stream, event.socket())?,
                None => relay.accept()?,
            }
        }
    }
}

impl Relay {
    /// The data path: from the buffer of the receive call to all viewers.
    fn pass_on(&mut self, stream: usize, id: SocketId, buffer: &mut [u8]) -> Result<()> {
        let stream = &mut self.streams[stream];
        let Some(publisher) = &stream.publisher else {
            return Ok(());
        };
        let end = loop {
            let len = match publisher.recv(buffer) {
                Ok(len) => len,
                Err(error) => break error,
            };
            stream.received += 1;
            for viewer in &stream.viewers {
                match viewer.send(&buffer[..len]) {
                    Ok(_) => stream.sent += 1,
                    // No room. A lost viewer has an event of its own.
                    Err(_) => stream.skipped += 1,
                }
            }
        };
        if !end.is_would_block() {
            let Stream {
                name,
                received,
                sent,
                skipped,
                ..
            } = stream;
            println!("{name}: publisher left: {received} packets in, {sent} out, {skipped} skipped");
            lock(&self.taken).remove(name.as_str());
            self.epoll.registry().remove_id(id)?;
            self.roles.remove(&id);
            stream.publisher = None;
        }
        Ok(())
    }

    /// Viewers are watched for errors only.
    fn viewer_left(&mut self, stream: usize, id: SocketId) -> Result<()> {
        self.epoll.registry().remove_id(id)?;
        self.roles.remove(&id);
        self.streams[stream].viewers.retain(|viewer| viewer.id() != id);
        println!("{}: viewer left", self.streams[stream].name);
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.is_would_block() => return Ok(()),
                Err(error) => return Err(error),
            };
            // The callback has admitted only such streamids.
            let id = socket.stream_id().unwrap_or_default();
            let fields = id.as_ref().and_then(|id| id.fields().ok());
            if let Some((name, mode)) =
                fields.and_then(|fields| Some((fields.resource()?.to_owned(), fields.mode())))
            {
                self.admit(socket, name, mode)?;
            }
        }
    }

    fn admit(&mut self, socket: SrtSocket, name: String, mode: Mode) -> Result<()> {
        let (id, publishes) = (socket.id(), mode == Mode::Publish);
        if socket.set_nonblocking().is_err() {
            // The caller has left already.
            return Ok(());
        }
        let at = self
            .streams
            .iter()
            .position(|stream| stream.name == name)
            .unwrap_or_else(|| {
                self.streams.push(Stream {
                    name,
                    ..Stream::default()
                });
                self.streams.len() - 1
            });
        let stream = &mut self.streams[at];
        let interest = if publishes {
            Interest::READABLE
        } else {
            Interest::ERRORS
        };
        if publishes && stream.publisher.is_some() {
            // Both callers were in their handshakes at the same time.
            return Ok(());
        }
        self.epoll.registry().add(&socket, interest, Trigger::Edge)?;
        println!(
            "{}: {} joined",
            stream.name,
            if publishes { "publisher" } else { "viewer" }
        );
        if publishes {
            lock(&self.taken).insert(stream.name.clone());
            self.roles.insert(id, Role::Publisher(at));
            stream.publisher = Some(socket);
        } else {
            self.roles.insert(id, Role::Viewer(at));
            stream.viewers.push(socket);
        }
        Ok(())
    }
}

fn wanted(request: &AccessRequest<'_>) -> Option<(String, Mode)> {
    let id = request.stream_id().ok()?;
    let fields = id.fields().ok()?;
    Some((fields.resource()?.to_owned(), fields.mode()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the lock")
}
