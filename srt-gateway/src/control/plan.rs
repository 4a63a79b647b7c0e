//! Derives the properties of a stream from its configuration. Pure.

use std::sync::Arc;

use srt_safe::ReaderTiming;

use super::ports::passphrase;
use crate::{access::StreamPolicy, config, data};

/// The properties of a new stream, from its table or from `[streams_default]`.
#[derive(Clone, Debug)]
pub(crate) struct StreamPlan {
    pub(crate) policy: Arc<StreamPolicy>,
    pub(crate) ring_bytes: usize,
    pub(crate) start_at: data::StartAt,
    pub(crate) ingest: ReaderTiming,
}

impl StreamPlan {
    /// For a stream with a table.
    pub(crate) fn of(stream: &config::Stream) -> Self {
        Self::new(Some(stream), &stream.settings)
    }

    /// For a stream without a table.
    pub(crate) fn of_unknown(config: &config::Config) -> Self {
        Self::new(None, &config.streams_default.settings)
    }

    fn new(stream: Option<&config::Stream>, settings: &config::StreamSettings) -> Self {
        let passphrases = |of: fn(&config::Stream) -> &Vec<config::Secret>| {
            let secrets = stream.map(of).into_iter().flatten();
            secrets.map(passphrase).collect()
        };
        Self {
            policy: Arc::new(StreamPolicy {
                publish_passphrases: passphrases(|stream| &stream.publish_passphrases),
                play_passphrases: passphrases(|stream| &stream.play_passphrases),
                password: stream.and_then(|stream| stream.password.clone()),
                max_viewers: settings.max_viewers.map_or(0, std::num::NonZeroU32::get),
                on_source_lost: settings.on_source_lost,
                duplicate_publisher: settings.duplicate_publisher,
                silent_after: settings.silent_after,
            }),
            ring_bytes: settings.ring,
            start_at: match settings.start_at {
                config::StartAt::Keyframe => data::StartAt::Keyframe,
                config::StartAt::Live => data::StartAt::Live,
            },
            ingest: match settings.ingest {
                config::Ingest::Timed => ReaderTiming::OnTime,
                config::Ingest::Immediate => ReaderTiming::InOrder,
            },
        }
    }
}
