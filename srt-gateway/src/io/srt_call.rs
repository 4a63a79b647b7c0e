//! Calls that share a few local ports, because libsrt runs two threads for each local port, however many sockets use
//! it.
//!
//! Used by control's thread; nothing here waits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use srt_safe::{Connecting, ErrorKind, SrtSocketBuilder};

/// The number of shared local ports per address family. More than one, so that outgoing calls are not limited to one
/// core.
const SHARED: usize = 2;

/// The local ports of outgoing calls.
#[derive(Debug, Default)]
pub(crate) struct CallPorts {
    v4: [Option<u16>; SHARED],
    v6: [Option<u16>; SHARED],
    turn: usize,
}

impl CallPorts {
    /// Starts a call from one of the shared ports. If that port cannot be shared (the socket options differ, or another
    /// program has taken it), a new port replaces it.
    ///
    /// # Errors
    /// Errors of [`SrtSocketBuilder::start_connect`].
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
