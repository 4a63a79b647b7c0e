//! Serves a stream over HTTP, byte for byte, for the console: live from the last keyframe on, and the data for a still
//! picture.
//!
//! An HTTP viewer is a cursor in the ring like any other, but polls every [`POLL_INTERVAL`], so it costs the source's worker
//! nothing. Nothing is queued for a slow browser: one that reads nothing for [`STALL`] is disconnected.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep, timeout};

use super::{
    App,
    problem::{Answer, Part, Problem},
    read::no_stream,
    server::ended,
    streaming,
};
use crate::data::{Batch, Cursor, ReadOutcome, StartAt, Stream};

/// Concurrent HTTP viewers.
pub(super) const VIEWERS: usize = 32;

/// How often the ring is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Messages per chunk of the body.
const BATCH: usize = 64;

/// Chunks that may wait for the browser's socket.
const PIECES: usize = 8;

/// A browser that reads nothing for this long is disconnected.
const STALL: Duration = Duration::from_secs(5);

/// An HTTP response ends after this long without data.
const SILENCE: Duration = Duration::from_secs(30);

/// The size limit of the data for a still picture.
const STILL_MAX: usize = 1 << 20;

/// How long a browser may cache a still picture.
const STILL_AGE: HeaderValue = HeaderValue::from_static("private, max-age=3");

const MPEG_TS: HeaderValue = HeaderValue::from_static("video/mp2t");

fn stream_of(app: &App, name: &str) -> Answer<Arc<Stream>> {
    let directory = app.view.directory.load();
    let entry = directory.streams.get(name).ok_or_else(|| no_stream(name))?;
    Ok(Arc::clone(&entry.stream))
}

/// Counts as a viewer of the stream while it exists, so on-demand inputs connect for it.
struct Watching(Arc<Stream>);

impl Watching {
    fn new(stream: Arc<Stream>) -> Self {
        stream.add_watcher();
        Self(stream)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.remove_watcher();
    }
}

/// Plays the stream from the last keyframe on: endless MPEG-TS. The gateway disconnects browsers that are too slow.
#[utoipa::path(get, path = "/api/v1/streams/{name}/video.ts", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, content_type = "video/mp2t"), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn video(
    State(app): State<Arc<App>>,
    Part(name): Part<String>,
) -> Answer<impl IntoResponse> {
    let stream = stream_of(&app, &name)?;
    let Ok(place) = Arc::clone(&app.video_places).try_acquire_owned() else {
        return Err(Problem::busy(format!(
            "{VIEWERS} viewers already watch over HTTP: use SRT instead"
        )));
    };
    let watching = Watching::new(stream);
    let (sender, pieces) = streaming::channel::<Result<Bytes, std::io::Error>>(PIECES);
    let mut stopped = app.stopped.clone();
    tokio::spawn(async move {
        let _place = place;
        let feed = async {
            let stream = &watching.0;
            let mut cursor = Cursor::new(stream.ring().start_position(StartAt::Keyframe));
            let mut batch = Batch::with_capacity(BATCH);
            let mut last = Instant::now();
            while last.elapsed() < SILENCE {
                match next_piece(stream, &mut cursor, &mut batch) {
                    Some(piece) => {
                        last = Instant::now();
                        let sent = timeout(STALL, sender.send(Ok(piece))).await;
                        if !matches!(sent, Ok(Ok(()))) {
                            return;
                        }
                    }
                    None if sender.is_closed() => return,
                    None => sleep(POLL_INTERVAL).await,
                }
            }
        };
        tokio::select! {
            () = feed => {}
            () = ended(&mut stopped) => {}
        }
    });
    Ok(([(header::CONTENT_TYPE, MPEG_TS)], Body::from_stream(pieces)))
}

/// The data after the cursor.
fn next_piece(stream: &Stream, cursor: &mut Cursor, batch: &mut Batch) -> Option<Bytes> {
    let ring = stream.ring();
    loop {
        match ring.read_batch(cursor.next(), batch) {
            ReadOutcome::UpToDate => return None,
            ReadOutcome::Lapped { oldest } => drop(cursor.skip_to(ring.skip_target(oldest))),
            ReadOutcome::Read { count } => {
                let mut piece = BytesMut::with_capacity(count * 1456);
                for (_, message) in batch.iter() {
                    piece.extend_from_slice(message);
                }
                cursor.advance(count as u64);
                return Some(piece.freeze());
            }
        }
    }
}

/// Returns the data from the last PAT, PMT and keyframe until now, at most 1 MiB, from which a browser can make a still
/// picture. Can be cached for three seconds.
#[utoipa::path(get, path = "/api/v1/streams/{name}/keyframe.ts", tag = "streams", params(("name" = String, Path)),
    responses((status = 200, content_type = "video/mp2t"), (status = 204, description = "no keyframe is held"),
        (status = 404, body = Problem)))]
pub(super) async fn keyframe(State(app): State<Arc<App>>, Part(name): Part<String>) -> Answer<Response> {
    let stream = stream_of(&app, &name)?;
    let ring = stream.ring();
    let start = ring.start_position(StartAt::Keyframe);
    let mut cursor = Cursor::new(start);
    let mut batch = Batch::with_capacity(BATCH);
    let mut still = BytesMut::new();
    while still.len() < STILL_MAX
        && let Some(piece) = next_piece(&stream, &mut cursor, &mut batch)
    {
        still.extend_from_slice(&piece);
    }
    if still.is_empty() {
        // Not an error: audio-only streams have no picture, and a page that asks for every stream would fill its
        // console with errors.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let headers = [
        (header::CONTENT_TYPE, MPEG_TS),
        (header::CACHE_CONTROL, STILL_AGE),
    ];
    Ok((headers, still.freeze()).into_response())
}
