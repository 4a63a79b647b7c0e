//! The client side of the control socket. Blocks the calling thread.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Answer, LINE_MAX, Request};

/// A gateway that does not answer within this time is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a running gateway.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// There is no such socket, or nothing listens on it.
    NotRunning(PathBuf, io::Error),
    /// Permission was denied.
    NotAllowed(PathBuf),
    /// The connection failed.
    Io(io::Error),
    /// The answer is invalid: another version, or another program.
    NoAnswer(PathBuf),
    /// The gateway refused the request.
    Refused(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(path, error) => write!(
                f,
                "no gateway answers at {} ({error}): start it, or give its socket with --socket or its \
                 configuration file with --config",
                path.display()
            ),
            Self::NotAllowed(path) => write!(
                f,
                "{} belongs to another user: run the command as the user that runs the gateway, or as root",
                path.display()
            ),
            Self::Io(error) => write!(f, "the gateway's control socket: {error}"),
            Self::NoAnswer(path) => write!(
                f,
                "the program that answers at {} is not an srt-gateway of this version",
                path.display()
            ),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Client {
    pub(crate) fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(path.to_owned()),
            _ => ClientError::NotRunning(path.to_owned(), error),
        })?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self {
            path: path.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request, and waits for the answer; never returns [`Answer::Error`].
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut line = Vec::new();
        self.stream.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        match serde_json::from_slice(&line) {
            Ok(Answer::Error(why)) => Err(ClientError::Refused(why)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.no_answer()),
        }
    }

    pub(crate) fn no_answer(&self) -> ClientError {
        ClientError::NoAnswer(self.path.clone())
    }
}
