//! Options of the UDP port, of buffers, and of the kind of connection. A table; see the parent module.

use crate::options::{
    raw::{INT_MAX, Kind},
    values,
};

options! {
    /// What the connection carries. It sets a dozen other options to what live media or files need, and so is always
    /// applied first. Live drops what comes too late; files wait for everything. Both sides must be of one type.
    TransmissionType: values::TransmissionType {
        SRTO_TRANSTYPE "transtype", Kind::Names(values::TransmissionType::NAMES), "\"live\" or \"file\"",
        default "live", mode transmission_type
    }

    /// The largest UDP packet, IP and UDP headers included. The smaller one of both sides counts. Less than the path's MTU
    /// costs more packets for the same data; more than it costs fragments, which get lost together. Lower it for tunnels
    /// (1400 for most), and [`PayloadSize`](crate::opt::PayloadSize) with it.
    MaxSegmentSize: u32 {
        SRTO_MSS "mss", Kind::Int { min: 76, max: 65_535, special: None }, "76 to 65535 (bytes)",
        default "1500", bind max_segment_size
    }

    /// How many packets may be on their way unacknowledged, and the cap of the receive buffer. Too few stall a fast or far
    /// sender; many only cost the memory that the receive buffer really takes. Raise it with
    /// [`ReceiveBuffer`](crate::opt::ReceiveBuffer) from about 40 Mb/s at 2 s of latency on.
    FlowWindow: u32 {
        SRTO_FC "fc", Kind::Int { min: 32, max: INT_MAX, special: None }, "32 to 2147483647 (packets)",
        default "25600", connect flow_window
    }

    /// Room for what is sent and not yet acknowledged; kept in whole packets. Too small makes sending block (or say
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock)) and cannot repeat lost packets; large costs memory once it is full, and
    /// lets a stalled peer hold it. Size it by bitrate x (latency + RTT) x 1.25; a receiver needs next to none.
    SendBuffer: u32 {
        SRTO_SNDBUF "sndbuf", Kind::Int { min: 1472, max: INT_MAX, special: None },
        "1472 to 2147483647 (bytes; libsrt accepts less, but then has no room for a packet)",
        default "12058624 (8192 packets)", bind send_buffer
    }

    /// Room for what is received and not yet read; kept in whole packets, at least 32 and at most
    /// [`FlowWindow`](crate::opt::FlowWindow). Too small drops packets although the network delivered them; large costs
    /// memory for each connection. Size it by bitrate x (latency + RTT) x 1.25; a sender needs next to none.
    ReceiveBuffer: u32 {
        SRTO_RCVBUF "rcvbuf", Kind::Int { min: 1, max: INT_MAX, special: None }, "1 to 2147483647 (bytes)",
        default "12058624 (8192 packets)", bind receive_buffer
    }

    /// The send buffer of the UDP socket (`SO_SNDBUF`), for all connections of the port. Too small drops packets in bursts
    /// before they leave; large adds delay on a slow interface. The system caps it in silence (`net.core.wmem_max`).
    UdpSendBuffer: u32 {
        SRTO_UDP_SNDBUF "udp_sndbuf", Kind::Int { min: 1, max: INT_MAX, special: None },
        "1 to 2147483647 (bytes; at least the maximum segment size is used)",
        default "65536", port udp_send_buffer
    }

    /// The receive buffer of the UDP socket (`SO_RCVBUF`), for all connections of the port. Too small loses packets while
    /// libsrt's one thread of the port is busy; large costs kernel memory. Raise it on ports with many or fast
    /// connections. The system caps it in silence (`net.core.rmem_max`).
    UdpReceiveBuffer: u32 {
        SRTO_UDP_RCVBUF "udp_rcvbuf", Kind::Int { min: 1, max: INT_MAX, special: None },
        "1 to 2147483647 (bytes; at least the maximum segment size is used)",
        default "12288000", port udp_receive_buffer
    }

    /// Whether the socket connects to a peer that connects to it at the same time (both behind NAT, say). Such a socket
    /// cannot listen, and both must be bound to the port that the other one calls.
    Rendezvous: bool {
        SRTO_RENDEZVOUS "rendezvous", Kind::Flag, "true or false", default "false", dial rendezvous
    }

    /// Whether several sockets of this process share one UDP port, its threads and its buffers. On saves two threads for
    /// each further socket, but all must have the same options of the port; off makes a second bind fail.
    ReuseAddress: bool {
        SRTO_REUSEADDR "reuseaddr", Kind::Flag, "true or false", default "true", port reuse_address
    }

    /// How many routers a packet may pass (TTL, hop limit). Too low and nothing arrives; the system's default is right but
    /// for multicast-like scopes and tests.
    IpTtl: Option<std::num::NonZeroU8> {
        SRTO_IPTTL "ipttl", Kind::Int { min: 1, max: 255, special: Some(-1) }, "1 to 255, or -1 for the system's default",
        default "-1 (the system's)", port into ip_ttl
    }

    /// Type of service (IPv4) or traffic class (IPv6) of all packets of the port. Lets routers that are told so prefer
    /// the stream; others may treat an unknown class worse than none. `0x88` is AF41, `0xb8` EF.
    IpTos: Option<values::IpTos> {
        SRTO_IPTOS "iptos", Kind::Int { min: 0, max: 255, special: Some(-1) }, "0 to 255, or -1 for the system's default",
        default "-1 (the system's)", port into ip_tos
    }

    /// Which addresses a socket bound to `[::]` serves. Must be set for such a socket, or binding fails: `No` serves IPv4
    /// on the same port and shows its addresses mapped; `Yes` leaves IPv4 to another socket.
    Ipv6Only: values::Ipv6Only {
        SRTO_IPV6ONLY "ipv6only", Kind::Names(values::Ipv6Only::NAMES), "true, false, or -1 for the system's default",
        default "-1 (the system's default)", port ipv6_only
    }

    /// The network interface whose packets alone are sent and received (`SO_BINDTODEVICE`), such as `eth1`. For hosts with
    /// several uplinks to one network; the connection dies with the interface. Needs `CAP_NET_RAW` on old kernels; Linux only.
    BindToDevice: Option<String> {
        SRTO_BINDTODEVICE "bindtodevice", Kind::Device, "the name of a network interface, at most 15 bytes",
        default "none", port into bind_to_device
    }
}
