//! Callers that share a few local ports: libsrt runs two threads for each local port of a process, however many callers
//! use it.
//!
//! Used by control's thread; nothing here waits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use srt_safe::{Connecting, ErrorKind, SrtSocketBuilder};

/// Local ports of each address family that calls share. More than one, so that one core need not carry all pushes.
const SHARED: usize = 2;

/// The local ports that calls go out from.
#[derive(Debug, Default)]
pub(crate) struct CallPorts {
    v4: [Option<u16>; SHARED],
    v6: [Option<u16>; SHARED],
    turn: usize,
}

impl CallPorts {
    /// Begins a call from one of the shared ports. Where one cannot be shared (a caller with other settings of the UDP
    /// socket, or another program took it meanwhile), a new port takes its place.
    ///
    /// # Errors
    /// Those of [`SrtSocketBuilder::start_connect`].
    pub(crate) fn call(&mut self, caller: &SrtSocketBuilder, to: SocketAddr) -> srt_safe::Result<Connecting> {
        self.turn = (self.turn + 1) % SHARED;
        let (any, ports): (IpAddr, _) = if to.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED.into(), &mut self.v4)
        } else {
            (Ipv6Addr::UNSPECIFIED.into(), &mut self.v6)
        };
        let shared = &mut ports[self.turn];
        let from = |port| caller.clone().bind(SocketAddr::new(any, port)).start_connect(to);
        let call = match from(shared.unwrap_or(0)) {
            Err(error) if shared.is_some() && error.kind() == ErrorKind::AddressInUse => from(0),
            other => other,
        }?;
        *shared = call.local_addr().ok().map(|local| local.port());
        Ok(call)
    }
}
