//! The streamids that inputs and outputs send.

use std::net::{SocketAddr, UdpSocket};

use srt_safe::{Options, StreamId};

use super::{Control, dial::AttemptError, endpoints::EndpointRuntime, ports::srt_options};
use crate::{
    access::{HopList, shown},
    config::SrtTarget,
    io::EndpointId,
    names::{Role, SessionId},
};

/// The libsrt options of a call.
pub(super) fn call_options(srt: &SrtTarget, streamid: Option<&str>) -> Result<Options, AttemptError> {
    let mut options = srt_options(&srt.settings).map_err(AttemptError::Permanent)?;
    if let Some(limit) = srt.settings.connect_timeout {
        options = options.connect_timeout(limit);
    }
    if let Some(streamid) = streamid {
        options =
            options.stream_id(StreamId::new(streamid).map_err(|e| AttemptError::Permanent(e.to_string()))?);
    }
    Ok(options)
}

impl Control {
    /// The streamid for a call to one of these addresses. The list of gateways that the stream has passed is added on
    /// request, and for calls to this gateway's own ports, because only this gateway understands it.
    pub(super) fn streamid_for(
        &self,
        state: &EndpointRuntime,
        srt: &SrtTarget,
        session: SessionId,
        to: &[SocketAddr],
    ) -> Option<String> {
        let streamid = srt.stream_id.as_ref()?.expose();
        if !srt.loop_detection && !to.iter().any(|to| self.is_own_port(*to)) {
            return Some(streamid.to_owned());
        }
        let hop_list = self.hop_list(state);
        Some(self.endpoints.identity.sign(streamid, session, &hop_list))
    }

    /// Whether this gateway listens on that address. Binding a socket to an address tests whether it belongs to this
    /// machine.
    fn is_own_port(&self, to: SocketAddr) -> bool {
        self.gates().any(|gate| {
            let ip = gate.port().addr.ip();
            let is_here = |mut addr: SocketAddr| {
                addr.set_port(0);
                UdpSocket::bind(addr).is_ok()
            };
            gate.port().number() == to.port() && (ip == to.ip() || (ip.is_unspecified() && is_here(to)))
        })
    }

    /// Stores the streamid of a call for the status.
    pub(super) fn show_streamid(&mut self, id: EndpointId, streamid: Option<&str>) {
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            state.streamid = streamid.map(|id| shown(id.as_bytes()));
        }
    }

    /// The gateways that an endpoint's stream has passed: for an output, from its publisher's call; for an input, from
    /// its viewers' calls.
    fn hop_list(&self, state: &EndpointRuntime) -> HopList {
        let other = match state.role {
            Role::Viewer => Role::Publisher,
            Role::Publisher => Role::Viewer,
        };
        self.registry.hop_list(&state.stream, other)
    }
}
