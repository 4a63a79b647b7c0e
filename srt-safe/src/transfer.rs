//! Sending and receiving: live messages with their metadata, and the stream of file mode through `Read` and `Write`.
//!
//! This is the data path: a call here is one call to libsrt, without an allocation or a lock of this crate.

use std::{
    io::{self, Read, Write},
    marker::PhantomData,
    ptr, thread,
    time::Duration,
};

use libsrt_sys::{SRT_ERRNO, SRT_MSGCTRL, SRT_SOCKOPT};

use crate::{Error, ErrorKind, Result, SrtSocket, ffi, socket::millis_up};

/// How often a receiver checks whether a packet of a closed connection is due.
const DUE_POLL: Duration = Duration::from_millis(1);

/// A time on libsrt's clock: monotonic, local to this process, with an arbitrary zero; not comparable with other
/// clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceTime(Duration);

impl SourceTime {
    /// The current time of libsrt's clock (`srt_time_now`).
    #[must_use]
    pub fn now() -> Self {
        // SAFETY: srt_time_now reads a clock.
        let micros = unsafe { libsrt_sys::srt_time_now() };
        Self(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// The time `since_epoch` after the clock's zero.
    #[must_use]
    pub const fn from_duration(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The time since the clock's zero, to the microsecond.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this; zero if it is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// `None` for zero and negative numbers, which mean "no time" in libsrt.
    pub(crate) fn from_micros(micros: i64) -> Option<Self> {
        match u64::try_from(micros) {
            Ok(0) | Err(_) => None,
            Ok(micros) => Some(Self(Duration::from_micros(micros))),
        }
    }

    fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }
}

/// The metadata of a sent or received message (`SRT_MSGCTRL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// When the message was sent, converted to this side's clock plus the latency: the time at which it is due here.
    /// For a sent message, the time that was given. `None` in stream mode.
    pub source_time: Option<SourceTime>,
    /// Sequence number of the message's first packet: 31 bits, wrapping.
    pub packet_sequence: Option<u32>,
    /// Number of the message: 26 bits, wrapping, from 1. `None` in stream mode.
    pub message_number: Option<u32>,
}

impl MessageInfo {
    pub(crate) fn from_raw(ctrl: &SRT_MSGCTRL) -> Self {
        Self {
            source_time: SourceTime::from_micros(ctrl.srctime),
            packet_sequence: u32::try_from(ctrl.pktseq).ok(),
            message_number: u32::try_from(ctrl.msgno).ok().filter(|number| *number > 0),
        }
    }
}

/// Whether a message waits for earlier ones. Only for file mode with messages: live mode always delivers in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryOrder {
    /// Delivered as soon as it is complete, even if an earlier one is not.
    AsComplete,
    /// Delivered after all that were sent before it.
    #[default]
    InOrder,
}

/// The options of a sent message (`SRT_MSGCTRL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageOptions {
    time_to_live: Option<Duration>,
    order: DeliveryOrder,
    source_time: Option<SourceTime>,
}

impl MessageOptions {
    /// No time limit, in order, with the time of sending.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            time_to_live: None,
            order: DeliveryOrder::InOrder,
            source_time: None,
        }
    }

    /// Drops the message if it was not sent within this time (`msgttl`), in whole milliseconds, rounded up.
    #[must_use]
    pub const fn time_to_live(mut self, limit: Duration) -> Self {
        self.time_to_live = Some(limit);
        self
    }

    /// Sets the order of delivery (`inorder`).
    #[must_use]
    pub const fn order(mut self, order: DeliveryOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets the source time (`srctime`), from which the peer computes the delivery, such as the arrival time of a
    /// relayed packet. It must not precede the connection, nor decrease. Only for live mode.
    #[must_use]
    pub const fn source_time(mut self, time: SourceTime) -> Self {
        self.source_time = Some(time);
        self
    }

    pub(crate) fn to_raw(self) -> SRT_MSGCTRL {
        SRT_MSGCTRL {
            msgttl: self.time_to_live.map_or(-1, millis_up),
            inorder: i32::from(self.order == DeliveryOrder::InOrder),
            srctime: self.source_time.map_or(0, SourceTime::micros),
            ..EMPTY
        }
    }
}

/// The result of `srt_msgctrl_init`.
pub(crate) const EMPTY: SRT_MSGCTRL = SRT_MSGCTRL {
    flags: 0,
    msgttl: -1,
    inorder: 0,
    boundary: 0,
    srctime: 0,
    pktseq: -1,
    msgno: -1,
    grpdata: ptr::null_mut(),
    grpdata_size: 0,
};

/// The contents of the send buffer: unsent or unacknowledged (`srt_getsndbuffer`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// Packets.
    pub packets: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

/// While it exists, everything that this thread sends on any socket is collected and passed to the system many packets
/// at a time: for loops that send to many sockets, or many messages to one. Dropping it sends the rest, so keep it only
/// for the length of that loop, because collected packets wait. It can be nested; the outermost one counts.
///
/// It changes only when a packet leaves and which thread makes the system call. The pinned libsrt sends packets of many
/// sockets in one system call, and consecutive ones of one connection as one datagram that the system splits; the
/// sending thread of the port sleeps. No effect on an installed libsrt.
///
/// ```no_run
/// # use srt_safe::{CollectedSends, SrtSocket};
/// # fn relay(message: &[u8], viewers: &[SrtSocket]) {
/// let collected = CollectedSends::begin();
/// for viewer in viewers {
///     viewer.send(message).ok();
/// }
/// drop(collected);
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it collects for as long as it lives"]
pub struct CollectedSends {
    /// It belongs to the thread that created it.
    not_send: PhantomData<*const ()>,
}

impl CollectedSends {
    /// Starts to collect, on this thread.
    pub fn begin() -> Self {
        // SAFETY: our edit's function counts in a variable of this thread, and takes any number.
        unsafe { libsrt_sys::srt_edit_collect(1) };
        Self {
            not_send: PhantomData,
        }
    }
}

impl Drop for CollectedSends {
    fn drop(&mut self) {
        // SAFETY: as in `begin`, on the same thread, since the type is not `Send`.
        unsafe { libsrt_sys::srt_edit_collect(0) };
    }
}

impl SrtSocket {
    /// Sends a message, or in stream mode as much of `data` as there is room for (`srt_send`). Returns the number of
    /// bytes accepted.
    ///
    /// In live mode a message is one packet of 1 to 1316 bytes (`SRTO_PAYLOADSIZE`, at most 1456). Waits for room in
    /// the send buffer, up to the [timeout](Self::set_send_timeout); a non-blocking socket does not wait.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) or [`TimedOut`](crate::ErrorKind::TimedOut) if there is no room,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty or too long message,
    /// [`ConnectionLost`](crate::ErrorKind::ConnectionLost) if the connection is lost.
    pub fn send(&self, data: &[u8]) -> Result<usize> {
        not_empty("srt_send", data)?;
        // SAFETY: the pointer and the length describe `data`, which libsrt copies during the call.
        ffi::check_count("srt_send", unsafe {
            libsrt_sys::srt_send(self.raw.id(), data.as_ptr().cast(), ffi::c_len(data.len()))
        })
        .map_err(Error::of_connection)
    }

    /// Like [`send`](Self::send) with options; also returns the message's metadata (`srt_sendmsg2`).
    ///
    /// # Errors
    /// Like [`send`](Self::send); [`InvalidInput`](crate::ErrorKind::InvalidInput) also for a source time before the
    /// connection.
    pub fn send_message(&self, data: &[u8], options: MessageOptions) -> Result<(usize, MessageInfo)> {
        not_empty("srt_sendmsg2", data)?;
        let mut ctrl = options.to_raw();
        // SAFETY: the pointer and the length describe `data`; `ctrl` outlives the call and names no group data.
        let sent = ffi::check_count("srt_sendmsg2", unsafe {
            libsrt_sys::srt_sendmsg2(
                self.raw.id(),
                data.as_ptr().cast(),
                ffi::c_len(data.len()),
                &raw mut ctrl,
            )
        })
        .map_err(Error::of_connection)?;
        Ok((sent, MessageInfo::from_raw(&ctrl)))
    }

    /// Receives a message, or in stream mode up to `buffer.len()` bytes (`srt_recv`). Returns the number of bytes.
    ///
    /// In live mode the buffer must hold the largest packet (1316 bytes by default, see `SRTO_PAYLOADSIZE`); in file
    /// mode with messages, the part that does not fit is lost. Zero means the end of a stream. Waits for data, up to
    /// the [timeout](Self::set_recv_timeout); a non-blocking socket does not wait.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) or [`TimedOut`](crate::ErrorKind::TimedOut) if there is no data,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for too small a buffer,
    /// [`ConnectionLost`](crate::ErrorKind::ConnectionLost) if the connection is lost: in message mode also after the
    /// peer closed it properly, which libsrt does not distinguish.
    ///
    /// # The end of a live connection
    /// When the peer closes, up to one latency of packets has arrived and is not due yet. A blocking socket returns
    /// them, each at its time, and reports the lost connection after the last. A non-blocking socket reports it at
    /// once, and its epoll raises no more events: call [`unread`](Self::unread), and receive again every few
    /// milliseconds until it returns zero.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.to_the_end(|| self.recv_once(buffer))
    }

    fn recv_once(&self, buffer: &mut [u8]) -> Result<usize> {
        // SAFETY: the pointer and the length describe `buffer`; libsrt writes at most that many bytes.
        ffi::check_count("srt_recv", unsafe {
            libsrt_sys::srt_recv(
                self.raw.id(),
                buffer.as_mut_ptr().cast(),
                ffi::c_len(buffer.len()),
            )
        })
        .map_err(Error::of_connection)
    }

    /// Like [`recv`](Self::recv); also returns the message's metadata (`srt_recvmsg2`).
    ///
    /// # Errors
    /// Like [`recv`](Self::recv).
    pub fn recv_message(&self, buffer: &mut [u8]) -> Result<(usize, MessageInfo)> {
        self.to_the_end(|| self.recv_message_once(buffer))
    }

    fn recv_message_once(&self, buffer: &mut [u8]) -> Result<(usize, MessageInfo)> {
        let mut ctrl = EMPTY;
        // SAFETY: the pointer and the length describe `buffer`; `ctrl` outlives the call and names no group data.
        let received = ffi::check_count("srt_recvmsg2", unsafe {
            libsrt_sys::srt_recvmsg2(
                self.raw.id(),
                buffer.as_mut_ptr().cast(),
                ffi::c_len(buffer.len()),
                &raw mut ctrl,
            )
        })
        .map_err(Error::of_connection)?;
        Ok((received, MessageInfo::from_raw(&ctrl)))
    }

    /// Repeats a blocking receive that reports a lost connection, as long as there are packets that will be due.
    fn to_the_end<T>(&self, mut receive: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match receive() {
                Err(error)
                    if error.kind() == ErrorKind::ConnectionLost
                        && self.is_blocking() == Ok(true)
                        && self.unread().is_ok_and(|packets| packets > 0) =>
                {
                    // libsrt's timing thread has ended with the connection, so nothing would wake this one.
                    thread::sleep(DUE_POLL);
                }
                done => return done,
            }
        }
    }

    /// The number of packets that have arrived without a gap and have not been received by the application
    /// (`SRTO_RCVDATA`), including, in live mode, those that are not due yet, even after the peer has closed the
    /// connection.
    ///
    /// # Errors
    /// If the socket is closed. An installed libsrt closes it by itself once the peer has gone and everything was
    /// received.
    pub fn unread(&self) -> Result<usize> {
        ffi::socket_flag::<i32>(self.raw.id(), SRT_SOCKOPT::SRTO_RCVDATA)
            .map(|packets| usize::try_from(packets).unwrap_or(0))
            .map_err(Error::of_connection)
    }

    /// What the peer has not acknowledged yet (`srt_getsndbuffer`).
    ///
    /// # Errors
    /// Without a connection, and for a group.
    pub fn unsent(&self) -> Result<Unsent> {
        let mut unsent = Unsent::default();
        // SAFETY: both pointers are to fields of a local that outlives the call.
        ffi::check("srt_getsndbuffer", unsafe {
            libsrt_sys::srt_getsndbuffer(self.raw.id(), &raw mut unsent.packets, &raw mut unsent.bytes)
        })
        .map_err(Error::of_connection)?;
        Ok(unsent)
    }
}

/// libsrt accepts an empty message and sends nothing: in live mode the peer would wait for it forever.
pub(crate) fn not_empty(operation: &'static str, data: &[u8]) -> Result<()> {
    if data.is_empty() {
        Err(Error::new(
            SRT_ERRNO::SRT_EINVPARAM,
            operation,
            "SRT carries no empty messages: send at least one byte",
        ))
    } else {
        Ok(())
    }
}

/// Like [`SrtSocket::recv`]: at the end of a stream (file mode) it returns zero bytes. In live mode each read is one
/// packet, the buffer must hold it whole, and the end is an error.
impl Read for &SrtSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.recv(buffer).map_err(io::Error::from)
    }
}

/// Like [`SrtSocket::send`]: one message per write in message mode. `flush` does nothing, because data is sent at once,
/// and only [`SrtSocket::unsent`] shows what has arrived.
impl Write for &SrtSocket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        self.send(data).map_err(io::Error::from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Like for `&SrtSocket`.
impl Read for SrtSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }
}

/// Like for `&SrtSocket`.
impl Write for SrtSocket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_control_is_what_libsrt_makes() {
        let mut theirs = SRT_MSGCTRL { flags: 99, ..EMPTY };
        // SAFETY: the pointer is to a local that outlives the call.
        unsafe { libsrt_sys::srt_msgctrl_init(&raw mut theirs) };
        assert_eq!(format!("{theirs:?}"), format!("{EMPTY:?}"));
    }

    #[test]
    fn message_options_reach_c_in_its_units() {
        let options = MessageOptions::new()
            .time_to_live(Duration::from_micros(1500))
            .order(DeliveryOrder::AsComplete)
            .source_time(SourceTime::from_duration(Duration::from_secs(3)));
        let raw = options.to_raw();
        assert_eq!((raw.msgttl, raw.inorder, raw.srctime), (2, 0, 3_000_000));
        let plain = MessageOptions::new().to_raw();
        assert_eq!((plain.msgttl, plain.inorder, plain.srctime), (-1, 1, 0));
        assert_eq!(MessageOptions::new(), MessageOptions::default());
    }

    #[test]
    fn info_has_nothing_where_libsrt_set_nothing() {
        assert_eq!(MessageInfo::from_raw(&EMPTY), MessageInfo::default());
    }
}
