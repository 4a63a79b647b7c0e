//! The detection of encoder formats: ffmpeg encodes each one, and the analysis must report it correctly.

use crate::ts::observe;
use srt_e2e::peers;
use srt_gateway::ts::VideoReport;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Encodes a second of a test picture and a tone.
fn encode(folder: &Path, rate: &str, codecs: &str) -> Vec<u8> {
    let path = folder.join("made.ts");
    let picture = format!("testsrc2=size=320x192:rate={rate}");
    let output = Command::new(&peers::require().ffmpeg)
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture])
        .args("-f lavfi -i sine=sample_rate=44100 -t 1 -threads 1".split(' '))
        .args(codecs.split_whitespace())
        .args(["-metadata:s:a:0", "language=swe", "-f", "mpegts"])
        .arg(&path)
        .output()
        .expect("ffmpeg starts: peers::require found it");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(&path).unwrap()
}

/// Codec and format of the video, codec and format of the audio.
type Told = (String, VideoReport, String, Option<(u32, Option<u8>)>);

/// Encodes, and returns the observer's result.
#[track_caller]
fn told(rate: &str, codecs: &str) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let report = observe(&encode(folder.path(), rate, codecs), 2_000_000);
    let [picture, sound] = report.programs[0].streams.as_slice() else {
        panic!("{report:?}");
    };
    let video = picture.video.clone().unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(sound.languages, ["swe"]);
    let gop = report.gop.as_ref().unwrap();
    assert_eq!(gop.pid, picture.pid);
    let audio = sound.audio.as_ref();
    (
        picture.codec.clone(),
        video,
        sound.codec.clone(),
        audio.map(|audio| (audio.sample_rate, audio.channels)),
    )
}

/// The expected result: of the video codec, profile, lines, rate and whether it is interlaced; of the audio the rest.
#[track_caller]
fn expect(told: &Told, video: (&str, &str, u32, f64, bool), audio: (&str, u32, u8)) {
    let (codec, profile, height, rate, interlaced) = video;
    let report = &told.1;
    assert_eq!(
        (
            told.0.as_str(),
            report.profile.as_deref(),
            (report.width, report.height),
            report.frame_rate,
            report.interlaced
        ),
        (codec, Some(profile), (320, height), Some(rate), interlaced)
    );
    let (codec, sample_rate, channels) = audio;
    assert_eq!(
        (told.2.as_str(), told.3),
        (codec, Some((sample_rate, Some(channels))))
    );
}

#[test]
fn mpeg_2_with_mpeg_audio_and_ac_3() {
    expect(
        &told("25", "-c:v mpeg2video -g 5 -c:a mp2 -ac 1"),
        ("MPEG-2 video", "Main@Main", 192, 25.0, false),
        ("MPEG audio", 44_100, 1),
    );
    expect(
        &told(
            "30000/1001",
            "-c:v mpeg2video -flags +ildct+ilme -g 5 -c:a ac3 -ar 48000 -ac 6",
        ),
        ("MPEG-2 video", "Main@Main", 192, 29.97, true),
        ("AC-3", 48_000, 6),
    );
    expect(
        &told(
            "50",
            "-c:v mpeg2video -pix_fmt yuv422p -g 5 -c:a ac3 -ar 32000 -ac 1",
        ),
        ("MPEG-2 video", "4:2:2@Main", 192, 50.0, false),
        ("AC-3", 32_000, 1),
    );
}

#[test]
fn h_264_with_aac() {
    expect(
        &told(
            "60000/1001",
            "-c:v libx264 -profile:v baseline -pix_fmt yuv420p -level 3.1 -g 5 -c:a aac -ac 1 -mpegts_flags latm",
        ),
        ("H.264", "Constrained Baseline 3.1", 192, 59.94, false),
        ("AAC (LATM)", 44_100, 1),
    );
    expect(
        &told(
            "50",
            "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le -level 4 -g 5 -c:a aac -ac 2 -ar 48000",
        ),
        ("H.264", "High 10 4.0", 192, 50.0, false),
        ("AAC", 48_000, 2),
    );
    // For 4:2:2 in fields the cropping counts differently; 192 is no whole number of macroblock pairs.
    expect(
        &told(
            "25",
            "-c:v libx264 -flags +ildct+ilme -pix_fmt yuv422p10le -level 4 -g 5 -c:a aac -ac 6 -ar 24000",
        ),
        ("H.264", "High 4:2:2 4.0", 192, 25.0, true),
        ("AAC", 24_000, 6),
    );
}

#[test]
fn hevc_with_e_ac_3() {
    let x265 = |options: &str, rest: &str| {
        format!(
            "-c:v libx265 -preset ultrafast -x265-params log-level=error:pools=none:{options} -g 5 {rest}"
        )
    };
    expect(
        &told(
            "25",
            &x265(
                "level-idc=4:high-tier=0",
                "-pix_fmt yuv420p -c:a eac3 -ar 32000 -ac 2",
            ),
        ),
        ("HEVC", "Main 4.0", 192, 25.0, false),
        ("E-AC-3", 32_000, 2),
    );
    expect(
        &told(
            "24000/1001",
            &x265(
                "level-idc=4.1:high-tier=1:scaling-list=default:bframes=4:ref=4",
                "-pix_fmt yuv420p10le -c:a eac3 -ar 48000 -ac 6",
            ),
        ),
        ("HEVC", "Main 10 4.1 (high tier)", 192, 23.976, false),
        ("E-AC-3", 48_000, 6),
    );
    // Each picture is a field: two make a frame.
    expect(
        &told(
            "50",
            &x265(
                "level-idc=4:high-tier=0:interlace=tff",
                "-pix_fmt yuv420p -c:a eac3 -ar 48000 -ac 1",
            ),
        ),
        ("HEVC", "Main 4.0", 384, 25.0, true),
        ("E-AC-3", 48_000, 1),
    );
}
