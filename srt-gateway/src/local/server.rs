//! The server side of the control socket: one thread that accepts, and one per connection, at most [`CONNECTIONS`] of
//! them.
//!
//! Reads snapshots and asks control for the sessions; never touches a stream. An invalid request receives an error and
//! affects nobody else.

use std::{
    fmt,
    fs::{self, DirBuilder},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing::debug;

use super::{Answer, LINE_MAX, Request, Status};
use crate::view::View;

/// Concurrent connections; further ones are refused.
const CONNECTIONS: usize = 16;

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that neither sends nor reads for this long is disconnected.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The limit of a request, in bytes.
const REQUEST_MAX: u64 = 4096;

/// The open socket. Dropping it stops the server and removes the file.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Why the socket could not be opened.
#[derive(Debug)]
pub(crate) struct ServerError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// Another server answers there.
    InUse,
    Io(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no control socket at {}: ", self.path.display())?;
        match &self.cause {
            Cause::InUse => f.write_str(
                "another gateway uses it; give each its own: control_socket = \"...\" in [gateway]",
            ),
            Cause::Io(error) => write!(f, "{error}; set control_socket in [gateway] to a writable path"),
        }
    }
}

impl std::error::Error for ServerError {}

impl Server {
    /// Opens the socket and answers from `view`.
    pub(crate) fn start(path: &Path, view: View) -> Result<Self, ServerError> {
        let listener = bind(path).map_err(|cause| ServerError {
            path: path.to_owned(),
            cause,
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("local-socket".to_owned())
            .spawn(move || accept(&listener, &view, &stopped))
            .map_err(|error| ServerError {
                path: path.to_owned(),
                cause: Cause::Io(error),
            })?;
        Ok(Self {
            path: path.to_owned(),
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // Ends the wait in accept; if it fails, the thread has already ended.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            drop(thread.join());
        }
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, "removing the control socket");
        }
    }
}

/// Binds the socket, replacing a file that an earlier gateway left.
///
/// A new socket has the mode of the umask, and a client that connects before a chmod stays connected. So it is created
/// in a private folder, and linked to its name once it has its mode.
fn bind(path: &Path) -> Result<UnixListener, Cause> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if UnixStream::connect(path).is_ok() {
            return Err(Cause::InUse);
        }
        fs::remove_file(path).map_err(Cause::Io)?;
    }
    let private = PrivateFolder::beside(path).map_err(Cause::Io)?;
    let unnamed = private.0.join("s");
    let listener = UnixListener::bind(&unnamed).map_err(Cause::Io)?;
    let named = fs::set_permissions(&unnamed, fs::Permissions::from_mode(0o600))
        // Not a rename, which would take the name from a gateway that starts at the same moment.
        .and_then(|()| fs::hard_link(&unnamed, path));
    match named {
        Ok(()) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && UnixStream::connect(path).is_ok() => {
            Err(Cause::InUse)
        }
        Err(error) => Err(Cause::Io(error)),
    }
}

/// A folder that only this user can enter, removed when dropped.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn beside(path: &Path) -> io::Result<Self> {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let number = LAST.fetch_add(1, Relaxed);
        // Short: a socket's path is limited to little more than 100 bytes.
        let name = format!(".{:x}.{number}", std::process::id());
        let folder = path.with_file_name(name);
        // Left by an earlier process with this id.
        drop(fs::remove_dir_all(&folder));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            debug!(%error, "removing the folder in which the control socket was made");
        }
    }
}

fn accept(listener: &UnixListener, view: &View, stop: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Relaxed) {
            return;
        }
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                // Usually out of descriptors: the client stays in the queue, so the next attempt would fail at once.
                debug!(%error, "accepting on the control socket");
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        if open.fetch_add(1, Relaxed) >= CONNECTIONS {
            open.fetch_sub(1, Relaxed);
            let busy = Answer::Error(format!("{CONNECTIONS} connections are open: try again later"));
            drop(answer(&stream, &busy));
            continue;
        }
        let (view, counted) = (view.clone(), Arc::clone(&open));
        let serving = thread::Builder::new()
            .name("local-client".to_owned())
            .spawn(move || {
                if let Err(error) = serve(&stream, &view) {
                    debug!(%error, "a client of the control socket");
                }
                counted.fetch_sub(1, Relaxed);
            });
        if serving.is_err() {
            open.fetch_sub(1, Relaxed);
        }
    }
}

fn serve(stream: &UnixStream, view: &View) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(REQUEST_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            // The next data would be the middle of a line.
            return answer(
                stream,
                &Answer::Error(format!(
                    "a request is one line of JSON, at most {REQUEST_MAX} bytes"
                )),
            );
        }
        let answered = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => reply(&request, view),
            Err(error) => Answer::Error(format!(
                "{error}; requests are {{\"command\":\"status\"}} and {{\"command\":\"rejections\",\"after\":0}}"
            )),
        };
        answer(stream, &answered)?;
    }
}

fn reply(request: &Request, view: &View) -> Answer {
    match request {
        Request::Status => Answer::Status(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stuck_threads: stuck_threads(view),
            ports: view.listening().iter().map(Into::into).collect(),
            streams: view.stream_details().iter().map(Into::into).collect(),
            endpoints: view.endpoints().iter().map(Into::into).collect(),
            sessions: view.sessions().iter().map(Into::into).collect(),
        }),
        Request::Rejections { after } => {
            let all = view.rejections();
            let new = all.iter().filter(|rejection| rejection.number > *after);
            Answer::Rejections(new.map(Into::into).collect())
        }
    }
}

fn stuck_threads(view: &View) -> Vec<String> {
    let report = view.threads.report();
    report.stuck.iter().map(|thread| thread.name.clone()).collect()
}

fn answer(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    debug_assert!(line.len() as u64 <= LINE_MAX, "an answer that no client takes");
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_never_there_with_another_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let (mut looks, mut modes) = (0_u64, std::collections::BTreeSet::new());
                while !done.load(Relaxed) {
                    looks += 1;
                    if let Ok(found) = fs::symlink_metadata(&path) {
                        modes.insert(found.permissions().mode() & 0o777);
                    }
                }
                (looks, modes)
            });
            // The remains of the previous one are in the way each time.
            for _ in 0..2000 {
                drop(bind(&path).map_err(drop).unwrap());
            }
            done.store(true, Relaxed);
            let (looks, modes) = watcher.join().unwrap();
            assert_eq!(modes.into_iter().collect::<Vec<_>>(), [0o600], "{looks} looks");
        });
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "its folder is gone"
        );
    }

    #[test]
    fn of_two_gateways_the_second_is_told_and_a_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let first = bind(&path).map_err(drop).unwrap();
        assert!(matches!(bind(&path), Err(Cause::InUse)));
        drop(first);
        bind(&path).map_err(drop).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "of somebody").unwrap();
        assert!(matches!(bind(&file), Err(Cause::Io(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "of somebody");
    }
}
