//! The streamids that calls of inputs and outputs send.

use std::net::{SocketAddr, UdpSocket};

use srt_safe::{Options, StreamId};

use super::{Control, dial::AttemptError, endpoints::EndpointRuntime, ports::srt_options};
use crate::{
    access::{HopList, shown},
    config::SrtTarget,
    io::EndpointId,
    names::{Role, SessionId},
};

/// What libsrt is told for a call.
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
    /// The streamid of a call to one of these addresses. Only another gateway of this kind expects to read there which
    /// gateways the stream has come by, so it is added on request and for calls to this gateway's own ports.
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

    /// Whether this gateway listens there. To bind a socket to an address finds out whether it is one of this machine.
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

    /// Shows in the status what a call has sent.
    pub(super) fn show_streamid(&mut self, id: EndpointId, streamid: Option<&str>) {
        if let Some(state) = self.endpoints.all.get_mut(&id) {
            state.streamid = streamid.map(|id| shown(id.as_bytes()));
        }
    }

    /// Where the stream comes from that an endpoint's call is about: for an output by its publisher's call, for an input
    /// by the calls of those who watch.
    fn hop_list(&self, state: &EndpointRuntime) -> HopList {
        let other = match state.role {
            Role::Viewer => Role::Publisher,
            Role::Publisher => Role::Viewer,
        };
        self.registry.hop_list(&state.stream, other)
    }
}
