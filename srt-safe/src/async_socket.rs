//! Sockets and listeners whose calls are futures. They run on the task's own thread; [`Reactor`] only wakes.
//!
//! Every future here may be dropped at any time without losing data: a call either has its whole effect in the poll that
//! completes it, or none.

use std::net::SocketAddr;

use libsrt_sys::SRT_ERRNO;

use crate::{
    Connecting, Error, MessageInfo, MessageOptions, Reactor, Result, SocketState, SrtListener, SrtSocket,
    SrtSocketBuilder,
    connect::Progress,
    reactor::{Source, Wait},
};

/// The most that one packet carries (IPv4, MSS 1500).
const PACKET: usize = 1456;

/// An SRT socket for async tasks of any runtime. Dropping it closes it, as with [`SrtSocket`].
///
/// All calls take `&self`: several tasks may send and receive on one socket (each message goes to one of them).
///
/// ```
/// # async fn example() -> srt_safe::Result<()> {
/// use srt_safe::{AsyncSrtListener, AsyncSrtSocket, Reactor, SrtListener, SrtSocket};
///
/// let reactor = Reactor::new()?;
/// let listener = AsyncSrtListener::new(SrtListener::bind("127.0.0.1:0")?, &reactor);
/// let addr = listener.get_ref().local_addr()?;
///
/// let caller = AsyncSrtSocket::connect(&reactor, &SrtSocket::builder(), addr).await?;
/// let (accepted, _) = listener.accept().await?;
/// caller.send(b"one packet").await?;
/// let mut packet = [0; 1316];
/// assert_eq!(accepted.recv(&mut packet).await?, 10);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(example())?;
/// # Ok::<(), srt_safe::Error>(())
/// ```
#[derive(Debug)]
pub struct AsyncSrtSocket {
    /// Before `socket`: fields drop in order, and the epoll is left before the socket closes.
    source: Source,
    socket: SrtSocket,
}

impl AsyncSrtSocket {
    /// Takes a connected socket over, and makes it non-blocking.
    ///
    /// # Errors
    /// When the socket is closed.
    pub fn new(socket: SrtSocket, reactor: &Reactor) -> Result<Self> {
        socket.set_nonblocking()?;
        Ok(Self::nonblocking(socket, reactor))
    }

    fn nonblocking(socket: SrtSocket, reactor: &Reactor) -> Self {
        Self {
            source: reactor.source(&socket),
            socket,
        }
    }

    /// Connects to a listener. Dropping the future gives the attempt up; by itself it ends with the builder's
    /// [connect timeout](SrtSocketBuilder::connect_timeout), 3 s unless set.
    ///
    /// # Errors
    /// As [`SrtSocketBuilder::connect`].
    pub async fn connect(reactor: &Reactor, builder: &SrtSocketBuilder, addr: SocketAddr) -> Result<Self> {
        Self::established(reactor, builder.start_connect(addr)?).await
    }

    /// Connects to a peer that calls this side at the same time: [`SrtSocketBuilder::rendezvous`].
    ///
    /// # Errors
    /// As [`SrtSocketBuilder::rendezvous`].
    pub async fn rendezvous(
        reactor: &Reactor,
        builder: &SrtSocketBuilder,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Self> {
        Self::established(reactor, builder.start_rendezvous(local, remote)?).await
    }

    async fn established(reactor: &Reactor, connecting: Connecting) -> Result<Self> {
        let mut connecting = Attempt {
            source: reactor.source(&connecting),
            connecting,
        };
        loop {
            let attempt = &connecting.connecting;
            let settled = || match attempt.state() {
                SocketState::Init | SocketState::Opened | SocketState::Connecting => Err(Error::new(
                    SRT_ERRNO::SRT_EASYNCSND,
                    "srt_connect",
                    "the connection is on its way",
                )),
                _ => Ok(()),
            };
            // By retry: a socket that is registered at the very moment of its connection can become writable before it counts
            // as connected, and libsrt has no second edge for that.
            connecting
                .source
                .until_ready(Wait::WritableByRetry, settled)
                .await?;
            let Attempt {
                source,
                connecting: attempt,
            } = connecting;
            connecting = match attempt.finish()? {
                Progress::Connected(socket) => return Ok(Self { source, socket }),
                Progress::Pending(attempt) => Attempt {
                    source,
                    connecting: attempt,
                },
            };
        }
    }

    /// Receives as [`SrtSocket::recv`] does, when there is something.
    ///
    /// # Errors
    /// As [`SrtSocket::recv`], without `WouldBlock`.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.source
            .until_ready(Wait::Readable, || self.socket.recv(buffer))
            .await
    }

    /// Receives with the message's particulars, as [`SrtSocket::recv_message`] does, when there is something.
    ///
    /// # Errors
    /// As [`SrtSocket::recv_message`], without `WouldBlock`.
    pub async fn recv_message(&self, buffer: &mut [u8]) -> Result<(usize, MessageInfo)> {
        self.source
            .until_ready(Wait::Readable, || self.socket.recv_message(buffer))
            .await
    }

    /// Sends as [`SrtSocket::send`] does, when there is room. In stream mode it may take only a part, as there.
    ///
    /// # Errors
    /// As [`SrtSocket::send`], without `WouldBlock`.
    pub async fn send(&self, data: &[u8]) -> Result<usize> {
        self.source
            .until_ready(to_send(data), || self.socket.send(data))
            .await
    }

    /// Sends with particulars, as [`SrtSocket::send_message`] does, when there is room.
    ///
    /// # Errors
    /// As [`SrtSocket::send_message`], without `WouldBlock`.
    pub async fn send_message(&self, data: &[u8], options: MessageOptions) -> Result<(usize, MessageInfo)> {
        self.source
            .until_ready(to_send(data), || self.socket.send_message(data, options))
            .await
    }

    /// Ends the connection, as [`SrtSocket::shutdown`] does: tasks that wait for this socket get an error. Does not block;
    /// in file mode libsrt delivers what is still to be sent in the background, for as long as the process lives.
    ///
    /// # Errors
    /// As [`SrtSocket::shutdown`].
    pub fn shutdown(&self) -> Result<()> {
        self.socket.shutdown()
    }

    /// Closes the socket and reports errors, which dropping it ignores. Does not block: see [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// When libsrt has closed it already.
    pub fn close(self) -> Result<()> {
        self.into_inner().close()
    }

    /// The socket, for its options, statistics and addresses. Making it blocking would block the runtime.
    #[must_use]
    pub const fn get_ref(&self) -> &SrtSocket {
        &self.socket
    }

    /// The reactor that serves this socket.
    #[must_use]
    pub const fn reactor(&self) -> &Reactor {
        self.source.reactor()
    }

    /// Takes the socket out of the reactor. It stays non-blocking.
    #[must_use]
    pub fn into_inner(self) -> SrtSocket {
        self.socket
    }
}

/// An attempt and its place in the reactor.
struct Attempt {
    /// Before `connecting`, as in [`AsyncSrtSocket`].
    source: Source,
    connecting: Connecting,
}

/// A listener for async tasks of any runtime. Dropping it closes it, as with [`SrtListener`].
#[derive(Debug)]
pub struct AsyncSrtListener {
    /// Before `listener`, as in [`AsyncSrtSocket`].
    source: Source,
    listener: SrtListener,
}

impl AsyncSrtListener {
    /// Takes a listener over, and makes it non-blocking.
    #[must_use]
    pub fn new(listener: SrtListener, reactor: &Reactor) -> Self {
        listener.set_nonblocking();
        Self {
            source: reactor.source(&listener),
            listener,
        }
    }

    /// Accepts the next caller when there is one, into the same reactor.
    ///
    /// # Errors
    /// As [`SrtListener::accept`], without `WouldBlock`.
    pub async fn accept(&self) -> Result<(AsyncSrtSocket, SocketAddr)> {
        let (socket, peer) = self
            .source
            .until_ready(Wait::Readable, || self.listener.accept())
            .await?;
        // Non-blocking like its listener. To set it again would fail for a caller that is gone by now, and an error of one caller
        // is not one of the listener.
        Ok((AsyncSrtSocket::nonblocking(socket, self.source.reactor()), peer))
    }

    /// Stops listening, as [`SrtListener::shutdown`] does: tasks that wait in [`accept`](Self::accept) get an error. Waits for
    /// a decision of the access control that is under way.
    ///
    /// # Errors
    /// As [`SrtListener::shutdown`].
    pub fn shutdown(&self) -> Result<()> {
        self.listener.shutdown()
    }

    /// Closes the listener and reports errors, which dropping it ignores. Waits as [`shutdown`](Self::shutdown) does.
    ///
    /// # Errors
    /// When libsrt has closed it already.
    pub fn close(self) -> Result<()> {
        self.into_inner().close()
    }

    /// The listener, for its address and counts. Making it blocking would block the runtime.
    #[must_use]
    pub const fn get_ref(&self) -> &SrtListener {
        &self.listener
    }

    /// Takes the listener out of the reactor. It stays non-blocking.
    #[must_use]
    pub fn into_inner(self) -> SrtListener {
        self.listener
    }
}

const fn to_send(data: &[u8]) -> Wait {
    if data.len() > PACKET {
        Wait::WritableByRetry
    } else {
        Wait::Writable
    }
}

const _: () = {
    const fn both<T: Send + Sync>() {}
    both::<AsyncSrtSocket>();
    both::<AsyncSrtListener>();
    both::<Reactor>();
};
