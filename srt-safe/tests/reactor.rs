//! The async sockets, under tokio and under a `block_on` of twenty lines.

use std::{
    future::Future,
    net::{SocketAddr, UdpSocket},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use srt_safe::{
    AccessRequest, Admission, AsyncSrtListener, AsyncSrtSocket, ErrorKind, Options, Reactor, RejectCode,
    SrtListener, SrtSocket, TransmissionType,
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

fn quick() -> Options {
    Options::new().latency(Duration::from_millis(20))
}

/// For tests that count messages: however busy the machine is, none is dropped as too late.
fn complete() -> Options {
    quick().too_late_drop(false).peer_idle_timeout(SOON)
}

fn listener_with(reactor: &Reactor, options: Options) -> (AsyncSrtListener, SocketAddr) {
    let listener = SrtListener::builder()
        .options(options)
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = listener.local_addr().unwrap();
    (AsyncSrtListener::new(listener, reactor), addr)
}

async fn pair_with(reactor: &Reactor, options: Options) -> (AsyncSrtSocket, AsyncSrtSocket) {
    let (listener, addr) = listener_with(reactor, options.clone());
    let builder = SrtSocket::builder().options(options);
    let (caller, accepted) = tokio::join!(
        AsyncSrtSocket::connect(reactor, &builder, addr),
        listener.accept()
    );
    (caller.unwrap(), accepted.unwrap().0)
}

async fn pair(reactor: &Reactor) -> (AsyncSrtSocket, AsyncSrtSocket) {
    pair_with(reactor, quick()).await
}

/// The smallest executor: parks the thread until woken.
///
/// Each wait has a limit, the whole has none. A test cannot bound the round-trip time of messages: SRT derives the
/// peer's clock from the time at which it processed the handshake, so if libsrt processes it late, all later deliveries
/// are late by as much (seen: 30 round trips at 0.9 s each, woken every time).
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let parked = Instant::now();
        thread::park_timeout(SOON);
        assert!(parked.elapsed() < SOON, "never woken");
    }
}

#[test]
fn needs_no_runtime() {
    let reactor = Reactor::new().unwrap();
    let (listener, addr) = listener_with(&reactor, quick());
    let server = thread::spawn(move || {
        block_on(async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1500];
            for _ in 0..30 {
                let len = socket.recv(&mut buffer).await.unwrap();
                socket.send(&buffer[..len]).await.unwrap();
            }
            // The peer leaves first, so that nothing already sent is cut off.
            assert_eq!(
                socket.recv(&mut buffer).await.unwrap_err().kind(),
                ErrorKind::ConnectionLost
            );
        });
    });
    block_on(async {
        let builder = SrtSocket::builder().options(quick());
        let socket = AsyncSrtSocket::connect(&reactor, &builder, addr).await.unwrap();
        let mut buffer = [0; 1500];
        for number in 0..30_u32 {
            socket.send(&number.to_be_bytes()).await.unwrap();
            let len = socket.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..len], number.to_be_bytes());
        }
    });
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_connections_echo_at_once() {
    const CONNECTIONS: usize = 100;
    const MESSAGES: u32 = 40;
    let reactor = Reactor::new().unwrap();
    let options = complete();
    let (listener, addr) = listener_with(&reactor, options.clone());
    let server = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 1500];
                while let Ok(len) = socket.recv(&mut buffer).await {
                    socket.send(&buffer[..len]).await.unwrap();
                }
            });
        }
    });
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (reactor, options) = (reactor.clone(), options.clone());
        clients.push(tokio::spawn(async move {
            // The machine may be busy, and the connections share one small port.
            let builder = SrtSocket::builder().options(options.connect_timeout(SOON));
            let socket = AsyncSrtSocket::connect(&reactor, &builder, addr).await.unwrap();
            let mut buffer = [0; 1500];
            for round in 0..MESSAGES / 10 {
                for number in 0..10 {
                    socket.send(&(round * 10 + number).to_be_bytes()).await.unwrap();
                }
                for number in 0..10 {
                    let len = socket.recv(&mut buffer).await.unwrap();
                    assert_eq!(&buffer[..len], (round * 10 + number).to_be_bytes());
                }
            }
        }));
    }
    for client in clients {
        timeout(SOON * 2, client)
            .await
            .expect("a waker was lost")
            .unwrap();
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tasks_accept_and_each_caller_is_accepted_once() {
    let reactor = Reactor::new().unwrap();
    let (listener, addr) = listener_with(&reactor, quick());
    let listener = Arc::new(listener);
    let acceptors: Vec<_> = (0..8)
        .map(|_| {
            let listener = Arc::clone(&listener);
            tokio::spawn(async move { listener.accept().await.unwrap() })
        })
        .collect();
    let mut callers = Vec::new();
    for _ in 0..8 {
        let builder = SrtSocket::builder().options(quick());
        callers.push(AsyncSrtSocket::connect(&reactor, &builder, addr).await.unwrap());
    }
    // Kept open: a caller whose peer is gone has no address any more.
    let mut accepted = Vec::new();
    for acceptor in acceptors {
        accepted.push(timeout(SOON, acceptor).await.expect("a waker was lost").unwrap());
    }
    let mut peers: Vec<_> = accepted.iter().map(|(_, peer)| peer.port()).collect();
    let mut ports: Vec<_> = callers
        .iter()
        .map(|caller| caller.get_ref().local_addr().unwrap().port())
        .collect();
    peers.sort_unstable();
    ports.sort_unstable();
    assert_eq!(peers, ports);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_wait_on_a_socket_hear_of_its_end() {
    let reactor = Reactor::new().unwrap();
    let (caller, accepted) = pair(&reactor).await;
    let accepted = Arc::new(accepted);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let accepted = Arc::clone(&accepted);
            tokio::spawn(async move {
                let mut received = 0;
                loop {
                    match accepted.recv(&mut [0; 1500]).await {
                        Ok(_) => received += 1,
                        Err(error) => return (received, error.kind()),
                    }
                }
            })
        })
        .collect();
    for _ in 0..50 {
        caller.send(b"to whom it concerns").await.unwrap();
    }
    while caller.get_ref().unsent().unwrap().packets > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // An acknowledged message is not due yet: it is one latency later.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(caller);
    let mut total = 0;
    for reader in readers {
        let (received, end) = timeout(SOON, reader).await.expect("a waker was lost").unwrap();
        assert_eq!(end, ErrorKind::ConnectionLost);
        total += received;
    }
    assert_eq!(total, 50);
    // It stays so, without waiting.
    let again = timeout(SOON, accepted.recv(&mut [0; 1500])).await.unwrap();
    assert_eq!(again.unwrap_err().kind(), ErrorKind::ConnectionLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_receive_loses_nothing() {
    const MESSAGES: u32 = 300;
    let reactor = Reactor::new().unwrap();
    let (caller, accepted) = pair_with(&reactor, complete()).await;
    let sender = tokio::spawn(async move {
        for number in 0..MESSAGES {
            caller.send(&number.to_be_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        caller
    });
    let mut buffer = [0; 1500];
    let (mut next, mut dropped) = (0, 0);
    while next < MESSAGES {
        match timeout(Duration::from_millis(1), accepted.recv(&mut buffer)).await {
            Ok(received) => {
                assert_eq!(&buffer[..received.unwrap()], next.to_be_bytes());
                next += 1;
            }
            Err(_) => dropped += 1,
        }
        assert!(dropped < 100_000, "message {next} never came");
    }
    assert!(dropped > 0, "nothing was cancelled");
    drop(sender.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_holds_the_sender_until_there_is_room() {
    const MESSAGES: u32 = 5_000;
    let reactor = Reactor::new().unwrap();
    let options = complete().send_buffer(1316 * 32);
    let (caller, accepted) = pair_with(&reactor, options).await;
    let sender = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let mut data = [0; 1316];
            data[..4].copy_from_slice(&number.to_be_bytes());
            caller.send(&data).await.unwrap();
        }
        caller
    });
    let mut buffer = [0; 1500];
    for number in 0..MESSAGES {
        let len = timeout(SOON, accepted.recv(&mut buffer))
            .await
            .expect("stuck")
            .unwrap();
        assert_eq!((len, &buffer[..4]), (1316, &number.to_be_bytes()[..]));
    }
    drop(sender.await.unwrap());
}

/// libsrt does not announce room for more than one packet, so the reactor retries after a time.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_many_packets_get_through_a_small_buffer() {
    const LEN: usize = 20_000;
    let reactor = Reactor::new().unwrap();
    let options = Options::new()
        .transmission_type(TransmissionType::File)
        .message_api(true)
        .send_buffer(1456 * 24);
    let (caller, accepted) = pair_with(&reactor, options).await;
    let sender = tokio::spawn(async move {
        for number in 0..60 {
            assert_eq!(caller.send(&[number; LEN]).await.unwrap(), LEN);
        }
        caller
    });
    let mut buffer = vec![0; LEN];
    for number in 0..60 {
        let len = timeout(SOON, accepted.recv(&mut buffer))
            .await
            .expect("stuck")
            .unwrap();
        assert_eq!(len, LEN);
        assert!(buffer.iter().all(|byte| *byte == number));
    }
    drop(sender.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_at_once_all_come_about() {
    let reactor = Reactor::new().unwrap();
    let (listener, addr) = listener_with(&reactor, quick());
    let server = tokio::spawn(async move {
        let mut accepted = Vec::new();
        loop {
            accepted.push(listener.accept().await.unwrap());
        }
    });
    for _ in 0..5 {
        let callers: Vec<_> = (0..40)
            .map(|_| {
                let reactor = reactor.clone();
                let builder = SrtSocket::builder().options(quick()).connect_timeout(SOON);
                tokio::spawn(async move { AsyncSrtSocket::connect(&reactor, &builder, addr).await })
            })
            .collect();
        for caller in callers {
            timeout(SOON * 2, caller)
                .await
                .expect("a waker was lost")
                .unwrap()
                .unwrap();
        }
    }
    server.abort();
}

#[tokio::test]
async fn a_refused_caller_learns_why() {
    let reactor = Reactor::new().unwrap();
    let listener = SrtListener::builder()
        .access_control(|_: &AccessRequest<'_>| Err::<Admission, _>(RejectCode::CONFLICT))
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let error = AsyncSrtSocket::connect(&reactor, &SrtSocket::builder(), addr)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRejected, "{error}");
    assert_eq!(error.reject_reason(), Some(RejectCode::CONFLICT.into()));
}

#[tokio::test]
async fn connecting_to_nobody_times_out() {
    let reactor = Reactor::new().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let builder = SrtSocket::builder().connect_timeout(Duration::from_millis(150));
    let error = AsyncSrtSocket::connect(&reactor, &builder, silent.local_addr().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test]
async fn a_dropped_connect_gives_up_and_frees_its_port() {
    let reactor = Reactor::new().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap();
    let builder = SrtSocket::builder();
    let attempt = AsyncSrtSocket::connect(&reactor, &builder, addr);
    assert!(timeout(Duration::from_millis(50), attempt).await.is_err());
    // Handshakes come every 250 ms. One may be on its way; after it there are no more.
    silent.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let mut handshakes = 0;
    while silent.recv(&mut [0; 1500]).is_ok() {
        handshakes += 1;
        assert!(handshakes < 8, "the attempt goes on");
    }
}

#[tokio::test]
async fn sockets_come_back_out_of_the_reactor() {
    let reactor = Reactor::new().unwrap();
    let (caller, accepted) = pair(&reactor).await;
    let caller = caller.into_inner();
    caller.set_blocking().unwrap();
    caller.send(b"by hand").unwrap();
    let mut buffer = [0; 1500];
    let len = timeout(SOON, accepted.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..len], b"by hand");
    drop(reactor);
    // The accepted socket keeps the reactor alive.
    caller.send(b"again").unwrap();
    let len = timeout(SOON, accepted.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..len], b"again");
}

/// A task that its own waker destroys, with the last handle of the reactor in it.
struct Doomed(
    Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    AtomicUsize,
);

impl Wake for Doomed {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_last_handle_may_go_on_the_reactors_own_thread() {
    let reactor = Reactor::new().unwrap();
    let (listener, addr) = listener_with(&reactor, quick());
    drop(reactor);
    let task = Arc::new(Doomed(
        Mutex::new(Some(Box::pin(async move { drop(listener.accept().await) }))),
        AtomicUsize::new(0),
    ));
    let waker = Waker::from(Arc::clone(&task));
    let poll = task.0.lock().unwrap().as_mut().map(|future| {
        future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    });
    assert_ne!(poll, Some(false), "nobody has called");
    // Unless the listener's first event, which comes with or without a caller, has already done it.
    let _caller = SrtSocket::builder().options(quick()).start_connect(addr).unwrap();
    let deadline = Instant::now() + SOON;
    while task.1.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "never woken");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(task.0.lock().unwrap().is_none());
}

/// A closed socket leaves the epoll without an event, so closing it must wake the waiting task.
#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_wakes_tasks_that_wait() {
    let reactor = Reactor::new().unwrap();
    for round in 0..20 {
        let (caller, accepted) = pair(&reactor).await;
        let (listener, _) = listener_with(&reactor, quick());
        let (accepted, listener) = (Arc::new(accepted), Arc::new(listener));
        let receiving = tokio::spawn({
            let accepted = Arc::clone(&accepted);
            async move { accepted.recv(&mut [0; 1316]).await }
        });
        let accepting = tokio::spawn({
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.map(drop) }
        });
        // Rounds differ in how far the tasks have come.
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if round % 4 < 2 {
            accepted.shutdown().unwrap();
            listener.shutdown().unwrap();
        } else {
            accepted.get_ref().shutdown().unwrap();
            listener.get_ref().shutdown().unwrap();
        }
        let received = timeout(SOON, receiving).await.expect("woken").unwrap();
        let ended = received.unwrap_err().kind();
        // Which one depends on how far libsrt has closed the socket.
        assert!(
            matches!(ended, ErrorKind::ConnectionLost | ErrorKind::NotConnected),
            "{ended:?}"
        );
        let accepted = timeout(SOON, accepting).await.expect("woken").unwrap();
        assert_eq!(accepted.unwrap_err().kind(), ErrorKind::InvalidState);
        caller.close().unwrap();
    }
}
