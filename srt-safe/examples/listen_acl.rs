//! A listener with access control: publishers of known resources, each with its own passphrase, on one port.
//!
//! ```text
//! cargo run --example listen_acl -- 127.0.0.1:9000 news='correct horse' sport='battery staple'
//! cargo run --example send -- 127.0.0.1:9000 '#!::r=news,m=publish' 'correct horse' < stream.ts
//! ```

use std::{collections::HashMap, env, net::SocketAddr, process::ExitCode, thread};

use srt_safe::{AccessRequest, Admission, ErrorKind, Mode, Passphrase, RejectCode, SrtListener, SrtSocket};

type Resources = HashMap<String, Passphrase>;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let [addr, pairs @ ..] = &args[..] else {
        return usage("no address");
    };
    let mut resources = Resources::new();
    for pair in pairs {
        let Some((resource, passphrase)) = pair.split_once('=') else {
            return usage("a resource without a passphrase");
        };
        match Passphrase::new(passphrase) {
            Ok(passphrase) => resources.insert(resource.to_owned(), passphrase),
            Err(error) => return usage(&format!("{resource}: {error}")),
        };
    }
    if resources.is_empty() {
        return usage("no resource");
    }
    match listen(addr, resources) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("listen_acl: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(fault: &str) -> ExitCode {
    eprintln!("listen_acl: {fault}\nusage: listen_acl <address:port> <resource>=<passphrase>...");
    ExitCode::from(2)
}

fn listen(addr: &str, resources: Resources) -> Result<(), srt_safe::Error> {
    let listener = SrtListener::builder()
        .access_control(move |request: &AccessRequest<'_>| authorize(&resources, request))
        .bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    for accepted in listener.incoming() {
        let (socket, peer) = accepted?;
        thread::spawn(move || serve(&socket, peer));
    }
    Ok(())
}

/// Runs on libsrt's thread, in the middle of a handshake: must not block or take long.
fn authorize(resources: &Resources, request: &AccessRequest<'_>) -> Result<Admission, RejectCode> {
    let id = request.stream_id().map_err(|_| RejectCode::BAD_REQUEST)?;
    let fields = id.fields().map_err(|_| RejectCode::BAD_REQUEST)?;
    if fields.mode() != Mode::Publish {
        return Err(RejectCode::BAD_MODE);
    }
    let passphrase = fields
        .resource()
        .and_then(|resource| resources.get(resource))
        .ok_or(RejectCode::NOT_FOUND)?;
    // From here on libsrt refuses a caller with another passphrase, or without one.
    Ok(Admission::new().passphrase(passphrase.clone()))
}

fn serve(socket: &SrtSocket, peer: SocketAddr) {
    let name = socket.stream_id().ok().flatten().unwrap_or_default();
    println!("{peer} publishes {name}");
    let mut message = [0; 1456];
    let mut total = 0_u64;
    let error = loop {
        match socket.recv(&mut message) {
            Ok(len) => total += len as u64,
            Err(error) => break error,
        }
    };
    if error.kind() == ErrorKind::ConnectionLost {
        println!("{peer} is done: {total} bytes");
    } else {
        println!("{peer} failed after {total} bytes: {error}");
    }
}
