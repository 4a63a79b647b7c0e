//! UDP sockets that are read before a listener opens on them: the local address that a datagram was sent to, and
//! answers from that address. libsrt's listeners do the same, because callers accept no answer from another address
//! than the one they called.

use std::{
    ffi::c_int,
    io,
    mem::{size_of, zeroed},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    ptr,
};

use socket2::{SockAddr, SockAddrStorage};

/// Enables the local address of each datagram for [`peek`].
///
/// # Errors
/// Errors of `setsockopt`.
pub fn report_destination(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: c_int = 1;
    let len = socklen(size_of::<c_int>());
    // SAFETY: the option's value is an int, which lives through the call.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), len) };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).unwrap_or(0)
}

/// The beginning of a datagram that is still in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// The number of its bytes in the buffer.
    pub length: usize,
    /// The sender.
    pub from: Option<SocketAddr>,
    /// The local address that it was sent to, if [`report_destination`] was called.
    pub to: Option<IpAddr>,
}

/// A buffer for control messages, with the alignment of `cmsghdr`.
type Control = [u64; 16];

/// Reads the next datagram without removing it from the socket, and without waiting.
///
/// # Errors
/// Errors of `recvmsg`: `WouldBlock` if there is none.
pub fn peek(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Peeked> {
    let mut from = SockAddrStorage::zeroed();
    let mut control = Control::default();
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all fields of a msghdr may be zero.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = socklen(size_of::<SockAddrStorage>());
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the name, the part and the control buffer are writable with the given lengths, and live through the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the system wrote an address of that length; the rest is zeroed.
    let from = unsafe { SockAddr::new(from, message.msg_namelen) };
    Ok(Peeked {
        length,
        from: from.as_socket(),
        // SAFETY: the system has just filled in the message, and its control buffer lives.
        to: unsafe { destination(&message) },
    })
}

/// # Safety
/// `message` is one that `recvmsg` filled in, and its control buffer is readable.
unsafe fn destination(message: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: by the caller's promise.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers that are whole in the buffer; its alignment is theirs.
        let found = unsafe { &*header };
        // SAFETY: the header is whole in the buffer.
        let data = unsafe { libc::CMSG_DATA(header) };
        match (found.cmsg_level, found.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: the data of this type is an in_pktinfo; a read that needs no alignment.
                let info: libc::in_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                return Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: the data of this type is an in6_pktinfo; a read that needs no alignment.
                let info: libc::in6_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            _ => {}
        }
        // SAFETY: by the caller's promise; `header` is one of this message.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// Sends a datagram to `to`, without waiting for room: from the local address `from`, or from one that the system
/// chooses.
///
/// # Errors
/// Errors of `sendmsg`.
pub fn send_from(
    socket: &UdpSocket,
    datagram: &[u8],
    from: Option<IpAddr>,
    to: SocketAddr,
) -> io::Result<()> {
    let to = SockAddr::from(to);
    let mut control = Control::default();
    let mut part = libc::iovec {
        iov_base: datagram.as_ptr().cast_mut().cast(),
        iov_len: datagram.len(),
    };
    // SAFETY: all fields of a msghdr may be zero.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = to.as_ptr().cast_mut().cast();
    message.msg_namelen = to.len();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(from) = from {
        message.msg_control = (&raw mut control).cast();
        match from {
            IpAddr::V4(ip) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from(ip).to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                // SAFETY: `control` is the message's, zeroed, aligned, and larger than the header with an in_pktinfo.
                unsafe { attach(&mut message, libc::IPPROTO_IP, libc::IP_PKTINFO, info) };
            }
            IpAddr::V6(ip) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: 0,
                };
                // SAFETY: as above, with an in6_pktinfo.
                unsafe { attach(&mut message, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info) };
            }
        }
    }
    // SAFETY: sendmsg only reads: the address, the datagram and the control buffer live through the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    if sent >= 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes `info` the only control message.
///
/// # Safety
/// `msg_control` points to a buffer that is writable, aligned as a `cmsghdr`, and has room for `T` behind one.
unsafe fn attach<T>(message: &mut libc::msghdr, level: c_int, kind: c_int, info: T) {
    let size = libc::c_uint::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: it only computes.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
    // SAFETY: the message is whole.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: the buffer is aligned and has room for a header, by the caller's promise; nobody else has a reference to it.
    let written = unsafe { &mut *header };
    written.cmsg_level = level;
    written.cmsg_type = kind;
    // SAFETY: it only computes.
    written.cmsg_len = unsafe { libc::CMSG_LEN(size) } as _;
    // SAFETY: it only computes, within the buffer.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: the buffer has room for the data, by the caller's promise; a write that needs no alignment.
    unsafe { ptr::write_unaligned(data.cast(), info) };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_come_from_the_address_that_was_called() {
        let any = [
            UdpSocket::bind("0.0.0.0:0").unwrap(),
            UdpSocket::bind("[::]:0").unwrap(),
        ];
        for socket in any {
            report_destination(&socket).unwrap();
            let empty = peek(&socket, &mut [0; 8]).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
            let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
            caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let called = SocketAddr::from(([127, 0, 0, 2], socket.local_addr().unwrap().port()));
            caller.send_to(b"longer than the buffer", called).unwrap();
            let mut buffer = [0; 8];
            // Loopback delivers before send_to returns.
            let peeked = peek(&socket, &mut buffer).unwrap();
            assert_eq!(&buffer[..peeked.length], b"longer t");
            assert_eq!(peeked.to.unwrap().to_canonical(), called.ip());
            assert_eq!(peek(&socket, &mut buffer).unwrap(), peeked, "it is still there");
            send_from(&socket, b"answer", peeked.to, peeked.from.unwrap()).unwrap();
            assert_eq!(caller.recv_from(&mut buffer).unwrap(), (6, called));
        }
    }
}
