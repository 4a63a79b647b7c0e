//! A caller that does what a test tells it.

use super::handshake::{Handshake, Request};
use super::packet::{Control, Data, Kind, Packet, TOP};
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// After which time a handshake is sent again.
const REPEAT: Duration = Duration::from_millis(250);
/// How many messages a viewer takes before it acknowledges them.
const PER_ACK: u32 = 16;

/// The listener refused, with this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with code {}", self.0)
    }
}

/// A UDP socket, and what it takes to talk SRT to a listener. It has no thread and sends nothing unasked, so its
/// connection ends after five seconds in which the test does nothing with it.
#[derive(Debug)]
pub struct RawPeer {
    socket: UdpSocket,
    to: SocketAddr,
    started: Instant,
    /// Our socket's id.
    id: u32,
    /// Where our sequence numbers begin.
    sequence: u32,
    /// What the listener said when it let us in.
    answer: Option<Handshake>,
    /// Messages that we sent.
    sent: u32,
    /// Messages that we received in order, and full acknowledgements that we sent.
    received: u32,
    acks: u32,
}

impl RawPeer {
    /// A peer for the listener at `to`, with a port of its own on the address that the listener has.
    ///
    /// # Panics
    /// When the system has no socket for it.
    #[must_use]
    #[track_caller]
    pub fn new(to: SocketAddr) -> Self {
        Self::from_ip(to.ip(), to)
    }

    /// The same on the local address `ip`: 127.0.0.2 is another host than 127.0.0.1, as far as anyone can tell.
    ///
    /// # Panics
    /// When the system has no socket for it.
    #[must_use]
    #[track_caller]
    pub fn from_ip(ip: IpAddr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0));
        let socket = socket.unwrap_or_else(|error| panic!("a socket on {ip}: {error}"));
        let port = u32::from(socket.local_addr().map_or(0, |addr| addr.port()));
        Self {
            socket,
            to,
            started: Instant::now(),
            id: 0x1000_0000 | port,
            sequence: 1_000_000 + port,
            answer: None,
            sent: 0,
            received: 0,
            acks: 0,
        }
    }

    /// Connects with a live handshake. An empty `stream_id` sends none.
    ///
    /// # Errors
    /// When the listener refuses.
    ///
    /// # Panics
    /// When the listener does not answer.
    #[track_caller]
    pub fn connect(to: SocketAddr, stream_id: &str) -> Result<Self, Refused> {
        let mut peer = Self::new(to);
        let cookie = peer.induce().cookie;
        peer.conclude(&peer.conclusion(cookie, stream_id))?;
        Ok(peer)
    }

    /// Talks to another listener from now on, from the same address.
    pub fn turn_to(&mut self, to: SocketAddr) {
        self.to = to;
    }

    /// Where it sends from.
    ///
    /// # Panics
    /// When the system does not say.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Its own socket id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Where its sequence numbers begin.
    #[must_use]
    pub fn first_sequence(&self) -> u32 {
        self.sequence
    }

    /// The listener's last answer to a conclusion: socket id, first sequence number and so on.
    ///
    /// # Panics
    /// When it is not connected.
    #[must_use]
    #[track_caller]
    pub fn answer(&self) -> &Handshake {
        self.answer.as_ref().expect("a connected peer")
    }

    /// The induction that it sends.
    #[must_use]
    pub fn induction(&self) -> Handshake {
        Handshake::induction(self.id, self.sequence)
    }

    /// The conclusion that it sends. Change it at will before [`RawPeer::conclude`].
    #[must_use]
    pub fn conclusion(&self, cookie: u32, stream_id: &str) -> Handshake {
        Handshake::conclusion(self.id, self.sequence, cookie, stream_id)
    }

    /// Asks for a cookie, and gives the answer.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn induce(&self) -> Handshake {
        self.exchange(&self.induction(), PATIENCE)
            .unwrap_or_else(|| panic!("no answer to an induction from {}", self.to))
    }

    /// Asks to be let in.
    ///
    /// # Errors
    /// When the listener refuses.
    ///
    /// # Panics
    /// When the listener does not answer.
    #[track_caller]
    pub fn conclude(&mut self, conclusion: &Handshake) -> Result<(), Refused> {
        let answer = self
            .exchange(conclusion, PATIENCE)
            .unwrap_or_else(|| panic!("no answer to a conclusion from {}", self.to));
        if let Some(code) = answer.refusal() {
            return Err(Refused(code));
        }
        self.answer = Some(answer);
        Ok(())
    }

    /// Sends a handshake to the listener, again and again, until it is answered or `patience` has passed.
    #[must_use]
    pub fn exchange(&self, handshake: &Handshake, patience: Duration) -> Option<Handshake> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            self.send_to_socket(0, Control::handshake(handshake));
            let repeat = end.min(Instant::now() + REPEAT);
            while let Some(packet) = self.receive(repeat.saturating_duration_since(Instant::now())) {
                // An induction is not answered by the late answer to another one's repetition.
                let answer = packet.as_handshake().filter(|answer| {
                    (answer.request == Request::INDUCTION) == (handshake.request == Request::INDUCTION)
                });
                if answer.is_some() {
                    return answer;
                }
            }
        }
        None
    }

    /// Sends a packet to the socket that we are connected to.
    ///
    /// # Panics
    /// When it is not connected.
    #[track_caller]
    pub fn send(&self, packet: impl Into<Packet>) {
        self.send_to_socket(self.answer().socket_id, packet);
    }

    /// Sends a packet to the socket `id` of the listener's port; 0 is the listener.
    pub fn send_to_socket(&self, id: u32, packet: impl Into<Packet>) {
        self.send_bytes(&self.addressed(id, packet).encode());
    }

    /// The packet with that destination and the time that it is now.
    #[must_use]
    pub fn addressed(&self, id: u32, packet: impl Into<Packet>) -> Packet {
        let micros = self.started.elapsed().as_micros() & u128::from(u32::MAX);
        packet
            .into()
            .addressed(id, u32::try_from(micros).unwrap_or_default())
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn send_bytes(&self, bytes: &[u8]) {
        match self.socket.send_to(bytes, self.to) {
            Ok(_) => {}
            // What the system tells of an earlier datagram: nobody was there.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => panic!("{} bytes to {}: {error}", bytes.len(), self.to),
        }
    }

    /// Sends a message as data, the next in order. Gives its sequence number.
    ///
    /// # Panics
    /// When it is not connected.
    #[track_caller]
    pub fn publish(&mut self, payload: &[u8]) -> u32 {
        let sequence = self.sequence.wrapping_add(self.sent) & !TOP;
        self.sent += 1;
        self.send(Data::whole(sequence, self.sent, payload));
        sequence
    }

    /// As [`publish`](Self::publish), with a time that is this far in the future.
    ///
    /// # Panics
    /// When it is not connected.
    #[track_caller]
    pub fn publish_ahead(&mut self, payload: &[u8], ahead: Duration) -> u32 {
        let sequence = self.sequence.wrapping_add(self.sent) & !TOP;
        self.sent += 1;
        let micros = (self.started.elapsed() + ahead).as_micros() & u128::from(u32::MAX);
        let packet = Packet::from(Data::whole(sequence, self.sent, payload));
        let packet = packet.addressed(self.answer().socket_id, u32::try_from(micros).unwrap_or_default());
        self.send_bytes(&packet.encode());
        sequence
    }

    /// The next packet, whatever it is. `None`: there was none within `patience`.
    ///
    /// # Panics
    /// When what came is no packet of SRT.
    #[must_use]
    pub fn receive(&self, patience: Duration) -> Option<Packet> {
        let end = Instant::now() + patience;
        let mut bytes = [0; 2048];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket
                .set_read_timeout(Some(left))
                .expect("a socket takes a time limit");
            match self.socket.recv_from(&mut bytes) {
                Ok((length, from)) if from == self.to => {
                    return Some(Packet::parse(&bytes[..length]).expect("a packet of SRT"));
                }
                // From somebody else, or no more than an ICMP message; or the time is up.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The packets that have arrived, without waiting for more.
    ///
    /// # Panics
    /// When the system refuses.
    #[must_use]
    pub fn drain(&self) -> Vec<Packet> {
        let set_nonblocking = |on| self.socket.set_nonblocking(on).expect("a socket takes a mode");
        set_nonblocking(true);
        let mut packets = Vec::new();
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut bytes) {
            packets.extend(Packet::parse(&bytes[..length]).filter(|_| from == self.to));
        }
        set_nonblocking(false);
        packets
    }

    /// The next packet that `wanted` picks. `None`: there was none within `patience`.
    #[must_use]
    pub fn receive_where(&self, patience: Duration, wanted: impl Fn(&Packet) -> bool) -> Option<Packet> {
        let end = Instant::now() + patience;
        loop {
            let packet = self.receive(end.saturating_duration_since(Instant::now()))?;
            if wanted(&packet) {
                return Some(packet);
            }
        }
    }

    /// Waits for the next control packet of that kind.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_control(&self, kind: Kind) -> Control {
        let found = self.receive_where(
            PATIENCE,
            |packet| matches!(packet, Packet::Control(control) if control.kind == kind),
        );
        match found {
            Some(Packet::Control(control)) => control,
            _ => panic!("no control packet of {kind:?} from {}", self.to),
        }
    }

    /// Receives as a viewer until it has `messages` more, acknowledges them, and gives them in order.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn view(&mut self, messages: u32) -> Vec<Vec<u8>> {
        let first = self.answer().sequence;
        let (start, wanted) = (self.received, self.received + messages);
        let mut got = BTreeMap::new();
        let end = Instant::now() + PATIENCE;
        while self.received < wanted {
            let left = end.saturating_duration_since(Instant::now());
            let Some(packet) = self.receive(left) else {
                panic!("{} of {messages} messages in {PATIENCE:?}", got.len());
            };
            let Packet::Data(data) = packet else { continue };
            got.insert(data.sequence.wrapping_sub(first) & !TOP, data.payload);
            while got.contains_key(&self.received) {
                self.received += 1;
                if self.received.is_multiple_of(PER_ACK) || self.received == wanted {
                    self.acks += 1;
                    let next = first.wrapping_add(self.received) & !TOP;
                    self.send(Control::ack(self.acks, next));
                }
            }
        }
        self.received = wanted;
        (start..wanted).filter_map(|at| got.remove(&at)).collect()
    }
}
