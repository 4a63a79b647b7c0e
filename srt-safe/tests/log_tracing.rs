//! The bridge to `tracing`: one event per line, with the line's details as fields. The line is one of the built libsrt.
#![cfg(all(feature = "tracing", not(feature = "system")))]

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use srt_safe::{
    ErrorKind, Options, Passphrase, SrtListener, SrtSocket,
    log::{self, LogBridge, LogLevel},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

static EVENTS: Mutex<Vec<(Level, HashMap<&'static str, String>)>> = Mutex::new(Vec::new());

/// Keeps the events of target `libsrt`.
struct Capture;

struct Fields(HashMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "libsrt"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(HashMap::new());
        event.record(&mut fields);
        let mut events = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
        events.push((*event.metadata().level(), fields.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn lines_become_events_with_fields() {
    tracing::subscriber::set_global_default(Capture).expect("the only subscriber");
    log::install(LogBridge::to_tracing().level(LogLevel::Note)).expect("installs");

    let secret = |text: &str| Options::new().passphrase(Passphrase::new(text).expect("long enough"));
    let listener = SrtListener::builder()
        .options(secret("the right one"))
        .bind("127.0.0.1:0")
        .expect("a listener");
    let error = SrtSocket::builder()
        .options(secret("the wrong one"))
        .connect(listener.local_addr().expect("bound"))
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRejected);
    assert!(log::flush(Duration::from_secs(10)));

    let events = EVENTS.lock().expect("not poisoned");
    let (_, fields) = events
        .iter()
        .find(|(level, fields)| {
            *level == Level::ERROR && fields["message"].contains("per enforced encryption")
        })
        .unwrap_or_else(|| panic!("no such event in {events:?}"));
    assert_eq!(fields["area"], "\"conn\"");
    assert_eq!(fields["file"], "\"core.cpp\"");
    assert!(
        fields["socket"].parse::<i32>().is_ok_and(|socket| socket > 0),
        "{fields:?}"
    );
    assert!(
        fields["line"].parse::<u32>().is_ok_and(|line| line > 0),
        "{fields:?}"
    );
    assert!(fields.contains_key("function"));
}
