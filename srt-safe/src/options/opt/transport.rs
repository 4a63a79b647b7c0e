//! Options of the UDP port, of buffers, and of the kind of connection. A table; see the parent module.

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// What the connection carries. It sets a dozen other options for live media or files, and is therefore always
    /// applied first. Live drops what comes too late; files wait for everything. Both sides must use the same type.
    TransmissionType: values::TransmissionType {
        SRTO_TRANSTYPE "transtype", Kind::Names(values::TransmissionType::NAMES), "\"live\" or \"file\"",
        default "live", mode transmission_type
    }

    /// The largest UDP packet, including IP and UDP headers. The smaller value of both sides applies. Less than the
    /// path's MTU costs more packets for the same data; more leads to fragments, which get lost together. Lower it for
    /// tunnels (usually 1400), together with [`PayloadSize`](crate::opt::PayloadSize).
    MaxSegmentSize: u32 {
        SRTO_MSS "mss", Kind::Int { min: 76, max: 65_535, special: None }, "76 to 65535 (bytes)",
        default "1500", bind max_segment_size
    }

    /// How many packets may be unacknowledged, and the limit of the receive buffer. Too few stall a fast or distant
    /// sender; many only cost the memory that the receive buffer really uses. Raise it with
    /// [`ReceiveBuffer`](crate::opt::ReceiveBuffer) from about 40 Mb/s at 2 s of latency.
    FlowWindow: u32 {
        SRTO_FC "fc", Kind::Int { min: 32, max: INT_MAX, special: None }, "32 to 2147483647 (packets)",
        default "25600", connect flow_window
    }

    /// The buffer for unsent and unacknowledged data, in whole packets. If it is too small, sending blocks (or returns
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock)) and lost packets cannot be repeated; a large one costs memory once
    /// it is full, which a stalled peer can occupy. Use bitrate x (latency + RTT) x 1.25; a receiver needs next to
    /// none.
    SendBuffer: u32 {
        SRTO_SNDBUF "sndbuf", Kind::Int { min: 1472, max: INT_MAX, special: None },
        "1472 to 2147483647 (bytes; libsrt accepts less, but then has no room for a packet)",
        default "12058624 (8192 packets)", bind send_buffer
    }

    /// The buffer for received and unread data, in whole packets, at least 32 and at most
    /// [`FlowWindow`](crate::opt::FlowWindow). If it is too small, it drops packets that the network delivered; a large
    /// one costs memory for each connection. Use bitrate x (latency + RTT) x 1.25; a sender needs next to none.
    ReceiveBuffer: u32 {
        SRTO_RCVBUF "rcvbuf", Kind::Int { min: 1, max: INT_MAX, special: None }, "1 to 2147483647 (bytes)",
        default "12058624 (8192 packets)", bind receive_buffer
    }

    /// The send buffer of the UDP socket (`SO_SNDBUF`), for all connections of the port. If it is too small, bursts
    /// lose packets before they leave; a large one adds delay on a slow interface. The system silently limits it
    /// (`net.core.wmem_max`).
    UdpSendBuffer: u32 {
        SRTO_UDP_SNDBUF "udp_sndbuf", Kind::Int { min: 1, max: INT_MAX, special: None },
        "1 to 2147483647 (bytes; at least the maximum segment size is used)",
        default "65536", port udp_send_buffer
    }

    /// The receive buffer of the UDP socket (`SO_RCVBUF`), for all connections of the port. If it is too small, packets
    /// are lost while libsrt's one thread of the port is busy; a large one costs kernel memory. Raise it on ports with
    /// many or fast connections. The system silently limits it (`net.core.rmem_max`).
    UdpReceiveBuffer: u32 {
        SRTO_UDP_RCVBUF "udp_rcvbuf", Kind::Int { min: 1, max: INT_MAX, special: None },
        "1 to 2147483647 (bytes; at least the maximum segment size is used)",
        default "12288000", port udp_receive_buffer
    }

    /// Whether the socket connects to a peer that connects to it at the same time (for example, both behind NAT). Such
    /// a socket cannot listen, and each side must be bound to the port that the other one calls.
    Rendezvous: bool {
        SRTO_RENDEZVOUS "rendezvous", Kind::Flag, "true or false", default "false", dial rendezvous
    }

    /// Whether several sockets of this process share one UDP port, its threads and its buffers. On saves two threads
    /// for each further socket, but all must have the same port options; off makes a second bind fail.
    ReuseAddress: bool {
        SRTO_REUSEADDR "reuseaddr", Kind::Flag, "true or false", default "true", port reuse_address
    }

    /// How many routers a packet may pass (TTL, hop limit). If it is too low, nothing arrives; the system's default
    /// suits everything but limited scopes and tests.
    IpTtl: Option<std::num::NonZeroU8> {
        SRTO_IPTTL "ipttl", Kind::Int { min: 1, max: 255, special: Some(-1) }, "1 to 255, or -1 for the system's default",
        default "-1 (the system's)", port into ip_ttl
    }

    /// Type of service (IPv4) or traffic class (IPv6) of all packets of the port. Routers configured for it can prefer
    /// the stream; others may treat an unknown class worse than none. `0x88` is AF41, `0xb8` EF.
    IpTos: Option<values::IpTos> {
        SRTO_IPTOS "iptos", Kind::Int { min: 0, max: 255, special: Some(-1) }, "0 to 255, or -1 for the system's default",
        default "-1 (the system's)", port into ip_tos
    }

    /// Which addresses a socket bound to `[::]` serves. Must be set for such a socket, or binding fails: `No` serves
    /// IPv4 on the same port and shows its addresses as mapped; `Yes` leaves IPv4 to another socket.
    Ipv6Only: values::Ipv6Only {
        SRTO_IPV6ONLY "ipv6only", Kind::Names(values::Ipv6Only::NAMES), "true, false, or -1 for the system's default",
        default "-1 (the system's default)", port ipv6_only
    }

    /// The only network interface to send and receive on (`SO_BINDTODEVICE`), such as `eth1`. For hosts with several
    /// uplinks to one network; the connection breaks if the interface disappears. Needs `CAP_NET_RAW` on old kernels;
    /// Linux only.
    BindToDevice: Option<String> {
        SRTO_BINDTODEVICE "bindtodevice", Kind::Device, "the name of a network interface, at most 15 bytes",
        default "none", port into bind_to_device
    }
}
