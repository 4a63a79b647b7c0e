//! A real H.264 and AAC stream, which ffmpeg encodes once into the target directory, and the check of a received copy
//! of it.

use super::TS_PACKET;
use crate::pace::null_packets;
use crate::peers;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// Seven seconds of a constant 3.6 Mb/s: H.264 on PID 0x100 with a keyframe each second, AAC on 0x101.
const ENCODE: &str = "-f lavfi -i testsrc2=size=1280x720:rate=30 \
    -f lavfi -i sine=frequency=440:beep_factor=4:sample_rate=48000 -t 7 \
    -c:v libx264 -preset veryfast -tune zerolatency -profile:v main -pix_fmt yuv420p \
    -g 30 -keyint_min 30 -sc_threshold 0 -b:v 3M -minrate 3M -maxrate 3M -bufsize 3M -x264-params nal-hrd=cbr \
    -c:a aac -b:a 128k -ac 2 \
    -f mpegts -mpegts_service_id 1 -metadata service_name=SampleTV -muxrate 3600k -pcr_period 20";

/// The sample stream.
#[derive(Debug)]
pub struct Sample {
    path: PathBuf,
    bytes: Arc<[u8]>,
}

impl Sample {
    /// Its constant rate in bits per second.
    pub const RATE: u64 = 3_600_000;

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of its bytes.
    #[must_use]
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }
}

/// The sample stream; on the first call on a machine ffmpeg encodes it, which takes about three seconds.
///
/// # Panics
/// If ffmpeg is missing or fails.
#[must_use]
pub fn sample_ts() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let path = made();
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        Sample {
            path,
            bytes: bytes.into(),
        }
    })
}

/// Encodes the sample unless this command encoded it before. Test runners that start one process per test all call this
/// at the same time, so a lock serializes them.
fn made() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    ENCODE.hash(&mut hasher);
    let folder = Path::new(env!("OUT_DIR"));
    let path = folder.join(format!("sample-{:016x}.ts", hasher.finish()));
    let lock = File::create(folder.join("sample.lock")).expect("OUT_DIR is writable");
    lock.lock().expect("a file in OUT_DIR can be locked");
    if !path.exists() {
        let draft = path.with_extension("draft");
        let mut command = Command::new(&peers::require().ffmpeg);
        command
            .args(["-nostdin", "-v", "error", "-y"])
            .args(ENCODE.split_whitespace())
            .arg(&draft);
        let output = command.output().expect("ffmpeg starts: peers::require found it");
        assert!(
            output.status.success(),
            "ffmpeg: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::rename(&draft, &path).expect("a file moves within OUT_DIR");
    }
    path
}

/// Finds the part of `source` that was received. Null packets after the end of `source` are allowed and not counted.
///
/// # Panics
/// If `received` is no contiguous part of `source`; the message contains the position of the first difference.
#[must_use]
#[track_caller]
pub fn contiguous_part(source: &[u8], received: &[u8]) -> Range<usize> {
    assert!(
        received.len() >= TS_PACKET,
        "only {} bytes received, not even one TS packet",
        received.len()
    );
    // Tables repeat and many packets are equal, so the position with the most equal packets is taken.
    let agreement = |start: usize| {
        source[start..]
            .iter()
            .zip(received)
            .take_while(|(sent, got)| sent == got)
            .count()
    };
    let (start, agreed) = (0..source.len())
        .step_by(TS_PACKET)
        .filter(|start| source[*start..].starts_with(&received[..TS_PACKET]))
        .map(|start| (start, agreement(start)))
        .max_by_key(|(_, agreed)| *agreed)
        .expect("the first packet received is none of the source's");
    let end = start + agreed;
    let rest = &received[agreed..];
    if end < source.len() {
        let whole = agreed - agreed % TS_PACKET;
        let missing = source[start + whole..].chunks(TS_PACKET);
        let lost = missing
            .into_iter()
            .position(|packet| received[whole..].starts_with(packet));
        assert!(
            rest.is_empty(),
            "of {} bytes received, byte {agreed} (source byte {end}) differs; {}",
            received.len(),
            lost.map_or_else(
                || "no later packet of the source follows".to_owned(),
                |n| format!("{n} packets lost")
            )
        );
    } else {
        let nulls = null_packets(rest.len().div_ceil(TS_PACKET));
        assert!(
            nulls.starts_with(rest),
            "{} bytes after the source's end are no null packets",
            rest.len()
        );
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::{Sample, contiguous_part, sample_ts};
    use crate::pace::null_packets;
    use crate::peers::ffmpeg;

    #[test]
    fn sample_is_what_it_says() {
        let sample = sample_ts();
        assert!(
            sample
                .bytes()
                .chunks(188)
                .all(|packet| packet.len() == 188 && packet[0] == 0x47)
        );
        let counts = ffmpeg::packet_counts(sample.path());
        assert_eq!(counts.video, 7 * 30);
        assert!((320..340).contains(&counts.audio), "{counts:?}");
        assert_eq!(ffmpeg::decode_faults(sample.path()), "");
        let seconds = sample.bytes().len() as f64 * 8.0 / Sample::RATE as f64;
        assert!((6.0..8.0).contains(&seconds), "{seconds} s at the nominal rate");
    }

    /// Packets that carry their number, with an equal one every ten packets, like tables.
    fn numbered(count: usize) -> Vec<u8> {
        (0..count)
            .flat_map(|n| {
                [if n % 10 == 0 {
                    255
                } else {
                    u8::try_from(n % 200).unwrap()
                }; 188]
            })
            .collect()
    }

    #[test]
    fn part_is_found_among_equal_packets() {
        let source = numbered(100);
        assert_eq!(contiguous_part(&source, &source), 0..18_800);
        assert_eq!(
            contiguous_part(&source, &source[50 * 188..70 * 188]),
            9_400..13_160
        );
        let padded = [&source[90 * 188..], &null_packets(20)[..1000]].concat();
        assert_eq!(contiguous_part(&source, &padded), 16_920..18_800);
    }

    #[test]
    #[should_panic(expected = "2 packets lost")]
    fn hole_is_reported() {
        let source = numbered(100);
        drop(contiguous_part(
            &source,
            &[&source[..5 * 188], &source[7 * 188..]].concat(),
        ));
    }

    #[test]
    #[should_panic(expected = "no null packets")]
    fn garbage_after_the_end_is_reported() {
        let source = numbered(10);
        drop(contiguous_part(&source, &[&source[..], &[1; 188]].concat()));
    }

    #[test]
    #[should_panic(expected = "none of the source's")]
    fn foreign_stream_is_reported() {
        drop(contiguous_part(&numbered(10), &[77; 376]));
    }
}
