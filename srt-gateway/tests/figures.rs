//! libsrt's figures of sessions, as shown by a running gateway.

mod support;

use std::time::Duration;

use srt_gateway::{Role, SessionStatus};
use support::{Caller, gateway, wait_until};

#[test]
fn a_sessions_figures_are_sampled_while_it_runs() {
    let gateway = gateway("[srt]\nport = \"127.0.0.1:0\"\n[streams.\"a\"]\n[log]\nlevel = \"error\"");
    let port = gateway.listening()[0].addr;
    let publisher = Caller::to(port).streamid("#!::r=a,m=publish").connect().unwrap();
    let viewer = Caller::to(port).streamid("#!::r=a,m=request").connect().unwrap();
    let message = [0x47; 1316];
    // libsrt returns waiting connections in any order.
    let of = |sessions: &[SessionStatus], role| sessions.iter().find(|s| s.role == role).cloned();
    let (from, to) = wait_until("the figures of both", || {
        publisher.send(&message).unwrap();
        let sessions = gateway.sessions();
        let from = of(&sessions, Role::Publisher)?;
        let to = of(&sessions, Role::Viewer)?;
        let received = from.figures.as_ref()?.totals.received_unique.packets;
        let sent = to.figures.as_ref()?.totals.sent_unique.packets;
        (received > 0 && sent > 0).then_some((from, to))
    });
    for session in [&from, &to] {
        let figures = session.figures.as_ref().unwrap();
        assert!(figures.latency() >= session.facts.latency, "{figures:?}");
        assert!(figures.rtt_p95 > Duration::ZERO);
        assert_eq!(session.facts.encryption, "none");
        assert_eq!(session.facts.version, srt_safe::library_version());
    }
    assert_eq!(from.facts.streamid.as_deref(), Some("#!::r=a,m=publish"));
    drop((publisher, viewer));
}
