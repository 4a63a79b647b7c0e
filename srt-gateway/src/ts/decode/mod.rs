//! Builds a report from a board: decodes PAT, PMT and SDT, and the samples of audio and video.
//!
//! Runs on the requesting thread, and may allocate. The stream's data is untrusted: malformed parts are left out, and
//! nothing panics.

mod audio;
mod bits;
mod hevc;
mod text;
mod video;

use super::board::{Published, Shared, StoreKey};
use super::checks::Check;
use super::clock::Clock;
use super::observer::Format;
use super::packet::Pid;
use super::pes::GopFigures;
use super::pids::{PidFigures, wanted};
use super::psi::Table;
use super::report::{
    CheckReport, ClockReport, GopReport, Payload, PidReport, ProgramReport, StreamReport, TsReport,
};
use super::streams::{Identity, each};

/// Builds the report.
pub(super) fn report(shared: &Shared) -> TsReport {
    let published = &shared.published;
    let counters = &published.counters;
    let pat = shared.item(StoreKey::Pat).and_then(Table::pat);
    let mut programs: Vec<_> = pat
        .into_iter()
        .flat_map(Table::programs)
        .take(16)
        .map(|(number, pmt_pid)| program(shared, number, pmt_pid))
        .collect();
    for (_, section) in shared
        .items()
        .filter(|(item, _)| matches!(item, StoreKey::Sdt(_)))
    {
        name_services(section, &mut programs);
    }
    TsReport {
        payload: payload(published),
        bits_per_second: published.bits_per_second,
        packets: counters.packets,
        null_packets: counters.null_packets,
        null_ratio: ratio(published.nulls_in_second, published.packets_in_second),
        timestamp_errors: counters.timestamp_errors,
        transport_stream_id: pat.map(|table| table.extension),
        pids: pids(shared, &programs),
        clocks: shared.clocks().iter().map(clock).collect(),
        checks: checks(published),
        gop: published.gop.as_ref().map(gop),
        programs,
    }
}

fn payload(published: &Published) -> Payload {
    match published.format {
        Format::Unknown => Payload::Unknown,
        Format::NotTs => Payload::Other,
        Format::Ts if published.is_scrambled => Payload::MpegTsScrambled,
        Format::Ts if published.has_parity => Payload::MpegTs204,
        Format::Ts => Payload::MpegTs,
    }
}

fn program(shared: &Shared, number: u16, pmt_pid: Pid) -> ProgramReport {
    let pmt = shared.item(StoreKey::Pmt(number)).and_then(Table::pmt);
    ProgramReport {
        number,
        pmt_pid: pmt_pid.as_u16(),
        pcr_pid: pmt.and_then(Table::pcr_pid).map(Pid::as_u16),
        streams: pmt
            .into_iter()
            .flat_map(Table::streams)
            .map(|(stream_type, pid, descriptors)| stream(shared, stream_type, pid.as_u16(), descriptors))
            .collect(),
        ..ProgramReport::default()
    }
}

fn stream(shared: &Shared, stream_type: u8, pid: u16, descriptors: &[u8]) -> StreamReport {
    let identity = Identity::of(stream_type, descriptors);
    let sample = shared.item(StoreKey::Sample(pid));
    StreamReport {
        pid,
        stream_type,
        kind: identity.kind,
        codec: identity.name.to_owned(),
        languages: languages(descriptors),
        video: identity
            .video
            .zip(sample)
            .and_then(|(codec, sample)| video::describe(codec, sample)),
        audio: identity
            .audio
            .zip(sample)
            .and_then(|(codec, sample)| audio::describe(codec, sample)),
    }
}

/// The languages of ISO 639, teletext and subtitling descriptors, without duplicates.
fn languages(descriptors: &[u8]) -> Vec<String> {
    let mut languages = Vec::new();
    for (tag, contents) in each(descriptors) {
        let entry = match tag {
            0x0A => 4,
            0x46 | 0x56 => 5,
            0x59 => 8,
            _ => continue,
        };
        for entry in contents.chunks_exact(entry) {
            let code = &entry[..3];
            if code.iter().all(u8::is_ascii_alphabetic) {
                let code = String::from_utf8_lossy(code).to_ascii_lowercase();
                if !languages.contains(&code) {
                    languages.push(code);
                }
            }
        }
    }
    languages
}

/// Sets the programs' names from a section of the SDT (ETSI EN 300 468, 5.2.3 and 6.2.33).
fn name_services(section: &[u8], programs: &mut [ProgramReport]) {
    let body = section.len().checked_sub(4).and_then(|end| section.get(11..end));
    let mut services = body.unwrap_or_default();
    while let Some((&[id1, id0, _, l1, l0], rest)) = services.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([l1, l0]) & 0x0FFF);
        let Some((descriptors, rest)) = rest.split_at_checked(len) else {
            return;
        };
        services = rest;
        let number = u16::from_be_bytes([id1, id0]);
        let names = each(descriptors).find_map(|(tag, contents)| {
            let (&_service_type, rest) = contents.split_first().filter(|_| tag == 0x48)?;
            let (provider, rest) = sized(rest)?;
            let (service, _) = sized(rest)?;
            Some((text::decode(provider), text::decode(service)))
        });
        let program = programs.iter_mut().find(|program| program.number == number);
        if let (Some((provider, service)), Some(program)) = (names, program) {
            let unless_empty = |name: String| Some(name).filter(|name| !name.is_empty());
            program.provider_name = unless_empty(provider);
            program.service_name = unless_empty(service);
        }
    }
}

/// A text after its length, and the remaining bytes.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn pids(shared: &Shared, programs: &[ProgramReport]) -> Vec<PidReport> {
    let is_there = |figures: &&PidFigures| figures.packets > 0 || figures.wanted & wanted::REFERENCED != 0;
    let mut pids: Vec<_> = shared
        .pids()
        .iter()
        .filter(is_there)
        .map(|figures| PidReport {
            pid: figures.pid,
            carries: carries(figures.pid, programs),
            bits_per_second: figures.bits_per_second,
            packets: figures.packets,
            continuity_errors: figures.continuity_errors,
            scrambled: figures.scrambled,
        })
        .collect();
    pids.sort_by_key(|pid| pid.pid);
    pids
}

fn carries(pid: u16, programs: &[ProgramReport]) -> Option<String> {
    let fixed = match pid {
        0x0000 => Some("PAT"),
        0x0001 => Some("CAT"),
        0x0002 => Some("TSDT"),
        0x0010 => Some("NIT"),
        0x0011 => Some("SDT, BAT"),
        0x0012 => Some("EIT"),
        0x0013 => Some("RST"),
        0x0014 => Some("TDT, TOT"),
        0x1FFF => Some("null"),
        u16::MAX => Some("all further PIDs"),
        _ => None,
    };
    if fixed.is_some() {
        return fixed.map(str::to_owned);
    }
    if programs.iter().any(|program| program.pmt_pid == pid) {
        return Some("PMT".to_owned());
    }
    let mut streams = programs.iter().flat_map(|program| &program.streams);
    if let Some(stream) = streams.find(|stream| stream.pid == pid) {
        return Some(match stream.languages.as_slice() {
            [] => stream.codec.clone(),
            languages => format!("{} ({})", stream.codec, languages.join(", ")),
        });
    }
    let is_clock = programs.iter().any(|program| program.pcr_pid == Some(pid));
    is_clock.then(|| "PCR".to_owned())
}

fn clock(clock: &Clock) -> ClockReport {
    let shown = &clock.shown;
    ClockReport {
        pid: clock.pid,
        count: clock.count,
        interval_ms: millis(
            shown
                .interval_sum
                .checked_div(shown.intervals.into())
                .unwrap_or(0),
        ),
        interval_max_ms: millis(shown.interval_max),
        jitter_ms: millis(shown.jitter()),
        accuracy_ns: shown.accuracy,
        transport_bits_per_second: shown.rate(),
    }
}

fn checks(published: &Published) -> Vec<CheckReport> {
    Check::ALL
        .iter()
        .map(|check| CheckReport {
            number: check.number().to_owned(),
            name: check.name().to_owned(),
            priority: check.priority(),
            count: published.counters.checks.of(*check),
            last_minute: published.last_minute.of(*check),
        })
        .collect()
}

fn gop(figures: &GopFigures) -> GopReport {
    let seconds = |ticks: u64| to_f64(ticks) / 90_000.0;
    let last = seconds(figures.ticks);
    GopReport {
        pid: figures.pid,
        keyframes: figures.keyframes,
        pictures: figures.pictures,
        seconds: last,
        seconds_max: seconds(figures.ticks_max),
        pictures_per_second: (figures.ticks > 0)
            .then(|| (to_f64(figures.pictures) / last * 1000.0).round() / 1000.0),
    }
}

fn millis(micros: u64) -> f64 {
    to_f64(micros) / 1000.0
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        to_f64(part) / to_f64(whole)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^53")]
fn to_f64(number: u64) -> f64 {
    number as f64
}
