//! Reports refused callers: the first attempt at once, repeats in one line every few seconds.
//!
//! A refused caller usually tries again at once (srt-live-transmit: a hundred times a second). The streamid tells
//! callers behind one NAT apart. The number of lines and events per second is bounded, per client and in total; the
//! rest is summed up in one.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use tracing::info;

use super::Journal;
use crate::{
    access::{self, Refused, Scope, StreamRequest},
    config::{Dialect, Dialects},
    rate_limit::client_of,
    telemetry::{CallerEncryption, EventKind, Happening, Rejection},
};

/// The shortest time between two lines about the same caller.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

/// Callers tracked at once; further refusals are reported individually.
const MAX_CALLERS: usize = 4096;

/// Reports per second, so that a flood of refusals does not drown everything else.
const REPORTS: u32 = 20;

/// Reports per second and client, so that a flood from one address does not hide the refusals of others.
const REPORTS_PER_CLIENT: u32 = 10;

/// Identifies repeats of the same refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RefusalKey {
    peer: IpAddr,
    port: u16,
    code: i32,
    /// Contains the stream and the requested mode.
    streamid: Box<[u8]>,
}

/// The recently reported refusals.
#[derive(Debug)]
pub(super) struct Refusals {
    journal: Journal,
    held: HashMap<RefusalKey, Suppressed>,
    second: ReportWindow,
}

/// The reports of the current second.
#[derive(Debug)]
struct ReportWindow {
    begin: Instant,
    reports: u32,
    clients: HashMap<IpAddr, u32>,
    /// The number of refusals that were not reported.
    beyond: u64,
}

impl ReportWindow {
    fn new(begin: Instant) -> Self {
        Self {
            begin,
            reports: 0,
            clients: HashMap::new(),
            beyond: 0,
        }
    }

    /// Whether a report of `times` refusals is within the limits.
    fn has_room(&mut self, peer: IpAddr, times: u64) -> bool {
        let of_client = self.clients.get(&client_of(peer)).copied().unwrap_or_default();
        if self.reports >= REPORTS || of_client >= REPORTS_PER_CLIENT {
            self.beyond += times;
            return false;
        }
        self.reports += 1;
        self.clients.insert(client_of(peer), of_client + 1);
        true
    }
}

#[derive(Debug)]
struct Suppressed {
    reported: Instant,
    unreported: u64,
    last: Option<Refused>,
}

impl Refusals {
    /// Records each refusal in `journal` as well.
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            held: HashMap::new(),
            second: ReportWindow::new(Instant::now()),
        }
    }

    pub(super) fn add(&mut self, refused: Refused, now: Instant) {
        let kept = record(&refused);
        self.journal.rejections.add(kept.clone());
        let key = RefusalKey {
            peer: refused.peer.ip(),
            port: refused.port.number(),
            code: refused.why.code().value(),
            streamid: refused.streamid.clone(),
        };
        if let Some(held) = self.held.get_mut(&key) {
            held.unreported += 1;
            held.last = Some(refused);
            return;
        }
        self.report(&refused, &kept, 1);
        if self.held.len() < MAX_CALLERS {
            self.held.insert(
                key,
                Suppressed {
                    reported: now,
                    unreported: 0,
                    last: None,
                },
            );
        }
    }

    /// Records a refusal that was reported elsewhere.
    pub(super) fn record(&mut self, refused: &Refused) {
        let kept = record(refused);
        self.journal.events.add(happening(refused, &kept, 1));
        self.journal.rejections.add(kept);
    }

    /// Reports the accumulated repeats, and forgets callers that have stopped. Must be called regularly.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.held.retain(|_, held| {
            if now.duration_since(held.reported) < REPORT_INTERVAL {
                return true;
            }
            let Some(last) = held.last.take() else {
                return false;
            };
            due.push((last, held.unreported));
            held.unreported = 0;
            held.reported = now;
            true
        });
        for (last, times) in due {
            self.report(&last, &record(&last), times);
        }
        if now.duration_since(self.second.begin) >= SECOND {
            let beyond = std::mem::replace(&mut self.second, ReportWindow::new(now)).beyond;
            if beyond > 0 {
                let text = format!("{beyond} more attempts were refused within a second");
                info!(times = beyond, "{text}");
                self.journal.events.add(Happening {
                    times: Some(beyond),
                    ..Happening::new(EventKind::Rejected, text)
                });
            }
        }
    }

    fn report(&mut self, refused: &Refused, kept: &Rejection, times: u64) {
        if self.second.has_room(refused.peer.ip(), times) {
            log(refused, times);
            self.journal.events.add(happening(refused, kept, times));
        }
    }
}

/// The event of a refusal.
fn happening(refused: &Refused, kept: &Rejection, times: u64) -> Happening {
    let shown = Some(&kept.streamid_shown).filter(|shown| !shown.is_empty());
    Happening {
        stream: stream_of(refused, kept),
        peer: Some(kept.peer),
        port: Some(kept.port),
        streamid: shown.cloned(),
        srt_version: kept.version.map(|version| version.to_string()),
        by: Some(kept.decision.as_str()),
        code: Some(kept.code),
        reason: Some(kept.reason.clone()),
        times: Some(times),
        ..Happening::new(
            EventKind::Rejected,
            format!("{} ({}): {}", kept.peer, kept.code, kept.reason),
        )
    }
}

/// The requested stream, if its name has only one reading: another reading might contain a password.
fn stream_of(refused: &Refused, kept: &Rejection) -> Option<String> {
    if let Scope::Stream(name) = &refused.port.scope {
        return Some(name.to_string());
    }
    let request = StreamRequest::read(&refused.streamid, Dialects::all()).ok()?;
    match request.names.as_slice() {
        [reading] if kept.streamid_shown.contains(reading.stream.as_str()) => {
            Some(reading.stream.to_string())
        }
        _ => None,
    }
}

/// The record of a refusal.
fn record(refused: &Refused) -> Rejection {
    let dialect = match StreamRequest::read(&refused.streamid, Dialects::all()) {
        Ok(request) => request.dialect.map_or("none", Dialect::as_str),
        Err(_) => "unreadable",
    };
    let encryption = match refused.handshake.map(|handshake| handshake.encryption) {
        None => CallerEncryption::Unknown,
        Some(None) => CallerEncryption::None,
        Some(Some(length)) => CallerEncryption::Aes(length),
    };
    let now = SystemTime::now();
    Rejection {
        number: 0,
        at: now,
        first: now,
        count: 1,
        peer: refused.peer,
        port: refused.port.number(),
        listener: refused.port.to_string(),
        streamid: refused.streamid.clone(),
        streamid_shown: access::shown(&refused.streamid),
        dialect,
        version: refused.handshake.map(|handshake| handshake.version),
        encryption,
        decision: refused.why.decided_by(),
        code: refused.why.code().value(),
        reason: refused.why.to_string(),
    }
}

fn log(refused: &Refused, times: u64) {
    info!(
        peer = %refused.peer, port = %refused.port, streamid = %access::shown(&refused.streamid),
        code = refused.why.code().value(), times, "refused: {}", refused.why
    );
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc};

    use super::*;
    use crate::{
        access::RefusalReason,
        config::Config,
        control::ports::{policy, scope},
        events::Poster,
        names::StreamName,
        telemetry::EventLog,
    };

    struct Fixture {
        refusals: Refusals,
        journal: Journal,
        begin: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let events = Arc::new(EventLog::new("gw1"));
            let journal = Journal {
                rejections: Arc::default(),
                poster: Poster::new(Arc::default(), Arc::clone(&events), None).unwrap(),
                events,
            };
            Self {
                refusals: Refusals::new(journal.clone()),
                journal,
                begin: Instant::now(),
            }
        }

        fn refuse(&mut self, peer: &str, streamid: &str, ms: u64) {
            let config = Config::parse("[srt]\nport = 9998").unwrap();
            let (owner, port) = config.srt_ports().next().unwrap();
            let addr = SocketAddr::from(([127, 0, 0, 1], 9998));
            let refused = Refused {
                peer: peer.parse().unwrap(),
                port: Arc::new(policy(scope(owner), port, addr)),
                streamid: streamid.as_bytes().into(),
                handshake: None,
                why: RefusalReason::UnknownStream(StreamName::new("x")),
            };
            self.refusals.add(refused, self.begin + Duration::from_millis(ms));
        }

        /// The streamids of the events, and how many refusals each represents.
        fn reported(&self) -> Vec<(String, u64)> {
            let all = self.journal.events.from(1, usize::MAX);
            let reported = all.iter().map(|event| {
                let streamid = event.what.streamid.clone().unwrap_or_default();
                (streamid, event.what.times.unwrap())
            });
            reported.collect()
        }
    }

    #[test]
    fn callers_behind_one_nat_are_reported_apart() {
        let mut fixture = Fixture::new();
        let (publisher, viewer) = ("#!::r=x,m=publish", "#!::r=x,m=request");
        for number in 0..120_u64 {
            let port = 4000 + number;
            fixture.refuse(&format!("192.0.2.1:{port}"), publisher, number);
        }
        fixture.refuse("192.0.2.1:5000", viewer, 500);
        fixture.refusals.tick(fixture.begin + REPORT_INTERVAL);
        let reported = [(publisher, 1), (viewer, 1), (publisher, 119)];
        assert_eq!(
            fixture.reported(),
            reported.map(|(streamid, times)| (streamid.to_owned(), times))
        );
    }

    #[test]
    fn a_flood_from_one_address_hides_no_refusal_of_another() {
        let mut fixture = Fixture::new();
        for number in 0..500 {
            fixture.refuse("192.0.2.1:4000", &format!("guess{number}"), 0);
        }
        fixture.refuse("192.0.2.2:4000", "innocent", 0);
        let reported = fixture.reported();
        assert_eq!(reported.len(), 11);
        assert_eq!(reported[10], ("innocent".to_owned(), 1));
        fixture.refusals.tick(fixture.begin + 2 * SECOND);
        assert_eq!(fixture.reported()[11].1, 490);
        assert_eq!(fixture.journal.rejections.all().len(), 501);
    }
}
