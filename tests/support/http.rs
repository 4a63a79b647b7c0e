//! A small HTTP server with scripted answers: late, wrong, enormous, none. Plain `std`, a thread per connection; one
//! request per connection.
//!
//! Tests of the gateway's package also compile it by its path, so it imports nothing of the project.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// A received request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, unchanged.
    pub body: Vec<u8>,
    /// When the request was complete.
    pub at: Instant,
}

impl Request {
    /// A header by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is no text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body that is text")
    }
}

/// The server's reaction to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with a status and a body.
    Answer(u16, String),
    /// The same, after a while.
    After(Duration, u16, String),
    /// Answers with a redirection to this URL.
    Redirect(String),
    /// Never answers, and keeps the connection.
    Dead,
    /// Closes the connection in the middle of the answer.
    Cut,
    /// Answers with so many bytes.
    Huge(usize),
}

impl Reply {
    /// 200 with this body.
    #[must_use]
    pub fn ok(body: &str) -> Self {
        Self::Answer(200, body.to_owned())
    }

    /// This status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Answer(status, String::new())
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server. Dropping it ends it: waiting clients are disconnected, and further ones are refused.
pub struct HttpServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Arc<Script>>,
    requests: Mutex<Vec<Request>>,
    ended: AtomicBool,
    wake: Condvar,
    lock: Mutex<()>,
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("addr", &self.addr).finish()
    }
}

impl HttpServer {
    /// Starts one on a port that the system chooses; `script` determines the reply to each request.
    ///
    /// # Panics
    /// If no port or thread is available.
    #[must_use]
    pub fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a TCP port on loopback");
        let addr = listener.local_addr().expect("the address of a bound listener");
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            requests: Mutex::default(),
            ended: AtomicBool::new(false),
            wake: Condvar::new(),
            lock: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.ended.load(SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let serving = Arc::clone(&serving);
                // A client that gives up midway is no fault of the server.
                thread::spawn(move || drop(serving.serve(&connection)));
            }
        });
        Self { addr, shared }
    }

    /// Its URL with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the script.
    pub fn follow(&self, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// A URL at which connections are refused.
    ///
    /// # Panics
    /// If no port is available.
    #[must_use]
    pub fn nobody_at() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a TCP port on loopback");
        let addr = listener.local_addr().expect("the address of a bound listener");
        format!("http://{addr}/nobody")
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        drop(lock(&self.shared.lock));
        self.shared.wake.notify_all();
        // The listening thread checks whether it has ended after each connection.
        drop(TcpStream::connect(self.addr));
    }
}

impl Shared {
    fn serve(&self, mut connection: &TcpStream) -> io::Result<()> {
        let request = read(connection)?;
        let script = Arc::clone(&*lock(&self.script));
        let reply = script(&request);
        lock(&self.requests).push(request);
        match reply {
            Reply::Answer(status, body) => answer(connection, status, "", &body),
            Reply::After(delay, status, body) => {
                self.wait(delay);
                answer(connection, status, "", &body)
            }
            Reply::Redirect(url) => answer(connection, 307, &format!("Location: {url}\r\n"), ""),
            Reply::Dead => {
                self.wait(Duration::from_secs(3600));
                Ok(())
            }
            Reply::Cut => connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":"),
            Reply::Huge(bytes) => answer(connection, 200, "", &"x".repeat(bytes)),
        }
    }

    /// Waits that long, or until the server ends.
    fn wait(&self, time: Duration) {
        let guard = lock(&self.lock);
        let waited = self
            .wake
            .wait_timeout_while(guard, time, |()| !self.ended.load(SeqCst));
        drop(waited);
    }
}

fn read(connection: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request {
        method,
        path,
        headers,
        body,
        at: Instant::now(),
    })
}

fn answer(mut connection: &TcpStream, status: u16, headers: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
