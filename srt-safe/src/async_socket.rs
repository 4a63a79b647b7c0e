//! Sockets and listeners with async calls. Calls run on the task's own thread; the [`Reactor`] only wakes tasks.
//!
//! Every future here may be dropped at any time without losing data: a call has its whole effect in the poll that
//! completes it, or none.

use std::net::SocketAddr;

use libsrt_sys::SRT_ERRNO;

use crate::{
    Connecting, Error, MessageInfo, MessageOptions, Reactor, Result, SocketState, SrtListener, SrtSocket,
    SrtSocketBuilder,
    connect::Progress,
    reactor::{Source, Wait},
};

/// The largest payload of a packet (IPv4, MSS 1500).
const PACKET: usize = 1456;

/// An SRT socket for async tasks of any runtime. Closed on drop, like [`SrtSocket`].
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
    /// Before `socket`: fields drop in order, and the socket must leave the epoll before it closes.
    source: Source,
    socket: SrtSocket,
}

impl AsyncSrtSocket {
    /// Wraps a connected socket and makes it non-blocking.
    ///
    /// # Errors
    /// If the socket is closed.
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

    /// Connects to a listener. Dropping the future cancels the attempt; otherwise it ends with the builder's [connect
    /// timeout](SrtSocketBuilder::connect_timeout), 3 s by default.
    ///
    /// # Errors
    /// Like [`SrtSocketBuilder::connect`].
    pub async fn connect(reactor: &Reactor, builder: &SrtSocketBuilder, addr: SocketAddr) -> Result<Self> {
        Self::established(reactor, builder.start_connect(addr)?).await
    }

    /// Connects to a peer that calls this side at the same time; see [`SrtSocketBuilder::rendezvous`].
    ///
    /// # Errors
    /// Like [`SrtSocketBuilder::rendezvous`].
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
            // By retry: a socket that is registered at the very moment of its connection can become writable before it
            // counts as connected, and libsrt raises no second edge for that.
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

    /// Waits for data and receives it like [`SrtSocket::recv`].
    ///
    /// # Errors
    /// Like [`SrtSocket::recv`], without `WouldBlock`.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.source
            .until_ready(Wait::Readable, || self.socket.recv(buffer))
            .await
    }

    /// Waits for a message and receives it with its metadata, like [`SrtSocket::recv_message`].
    ///
    /// # Errors
    /// Like [`SrtSocket::recv_message`], without `WouldBlock`.
    pub async fn recv_message(&self, buffer: &mut [u8]) -> Result<(usize, MessageInfo)> {
        self.source
            .until_ready(Wait::Readable, || self.socket.recv_message(buffer))
            .await
    }

    /// Waits for room and sends like [`SrtSocket::send`]. In stream mode it may send only a part.
    ///
    /// # Errors
    /// Like [`SrtSocket::send`], without `WouldBlock`.
    pub async fn send(&self, data: &[u8]) -> Result<usize> {
        self.source
            .until_ready(to_send(data), || self.socket.send(data))
            .await
    }

    /// Waits for room and sends with options, like [`SrtSocket::send_message`].
    ///
    /// # Errors
    /// Like [`SrtSocket::send_message`], without `WouldBlock`.
    pub async fn send_message(&self, data: &[u8], options: MessageOptions) -> Result<(usize, MessageInfo)> {
        self.source
            .until_ready(to_send(data), || self.socket.send_message(data, options))
            .await
    }

    /// Ends the connection like [`SrtSocket::shutdown`]: tasks that wait for this socket get an error. Does not block;
    /// in file mode libsrt delivers unsent data in the background, as long as the process lives.
    ///
    /// # Errors
    /// Like [`SrtSocket::shutdown`].
    pub fn shutdown(&self) -> Result<()> {
        self.socket.shutdown()
    }

    /// Closes the socket and reports errors, which dropping it ignores. Does not block; see
    /// [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// If libsrt has already closed it.
    pub fn close(self) -> Result<()> {
        self.into_inner().close()
    }

    /// The socket, for options, statistics and addresses. Do not make it blocking: that would block the runtime.
    #[must_use]
    pub const fn get_ref(&self) -> &SrtSocket {
        &self.socket
    }

    /// The reactor of this socket.
    #[must_use]
    pub const fn reactor(&self) -> &Reactor {
        self.source.reactor()
    }

    /// Removes the socket from the reactor. It stays non-blocking.
    #[must_use]
    pub fn into_inner(self) -> SrtSocket {
        self.socket
    }
}

/// A connection attempt and its registration in the reactor.
struct Attempt {
    /// Before `connecting`, as in [`AsyncSrtSocket`].
    source: Source,
    connecting: Connecting,
}

/// A listener for async tasks of any runtime. Closed on drop, like [`SrtListener`].
#[derive(Debug)]
pub struct AsyncSrtListener {
    /// Before `listener`, as in [`AsyncSrtSocket`].
    source: Source,
    listener: SrtListener,
}

impl AsyncSrtListener {
    /// Wraps a listener and makes it non-blocking.
    #[must_use]
    pub fn new(listener: SrtListener, reactor: &Reactor) -> Self {
        listener.set_nonblocking();
        Self {
            source: reactor.source(&listener),
            listener,
        }
    }

    /// Waits for the next caller and accepts it into the same reactor.
    ///
    /// # Errors
    /// Like [`SrtListener::accept`], without `WouldBlock`.
    pub async fn accept(&self) -> Result<(AsyncSrtSocket, SocketAddr)> {
        let (socket, peer) = self
            .source
            .until_ready(Wait::Readable, || self.listener.accept())
            .await?;
        // Already non-blocking like its listener. Setting it again would fail for a caller that has left, and one
        // caller's error is not the listener's.
        Ok((AsyncSrtSocket::nonblocking(socket, self.source.reactor()), peer))
    }

    /// Stops listening like [`SrtListener::shutdown`]: tasks that wait in [`accept`](Self::accept) get an error. Waits
    /// for an access control decision that is under way.
    ///
    /// # Errors
    /// Like [`SrtListener::shutdown`].
    pub fn shutdown(&self) -> Result<()> {
        self.listener.shutdown()
    }

    /// Closes the listener and reports errors, which dropping it ignores. Waits like [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// If libsrt has already closed it.
    pub fn close(self) -> Result<()> {
        self.into_inner().close()
    }

    /// The listener, for its address and counters. Do not make it blocking: that would block the runtime.
    #[must_use]
    pub const fn get_ref(&self) -> &SrtListener {
        &self.listener
    }

    /// Removes the listener from the reactor. It stays non-blocking.
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
