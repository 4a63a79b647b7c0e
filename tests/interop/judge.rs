//! Checks whether a stream arrived complete. If a client passes the stream unchanged, the output must be, byte for
//! byte, a contiguous part of the source; if it remuxes, the output must have all packets and pictures from the first
//! to the last. Pure.

use srt_e2e::source::{TS_PACKET, contiguous_part};
use std::collections::HashMap;

/// Demands a contiguous part of `source` of at least `least` bytes.
#[track_caller]
pub(crate) fn assert_exact(source: &[u8], received: &[u8], least: usize) {
    let part = contiguous_part(source, received);
    assert!(
        part.len() >= least,
        "{} bytes are of the source, {least} wanted",
        part.len()
    );
}

/// Demands that no packet is missing between the first and the last one of each PID, and at least `pictures` pictures at 30
/// a second.
#[track_caller]
pub(crate) fn assert_remuxed(received: &[u8], pictures: usize) {
    let mut counters = HashMap::new();
    let mut times = Vec::new();
    for packet in received.chunks_exact(TS_PACKET) {
        assert_eq!(packet[0], 0x47, "the packets are not aligned");
        let pid = u16::from_be_bytes([packet[1] & 0x1F, packet[2]]);
        let has_payload = packet[3] & 0x10 != 0;
        if pid == 0x1FFF || !has_payload {
            continue;
        }
        let counter = packet[3] & 0x0F;
        if let Some(last) = counters.insert(pid, counter) {
            assert_eq!(counter, (last + 1) & 0x0F, "packets of PID {pid:#x} are missing");
        }
        times.extend(video_time(packet));
    }
    assert!(
        times.len() >= pictures,
        "{} pictures, {pictures} wanted",
        times.len()
    );
    // 90 kHz; VLC rounds to microseconds.
    let gap = times
        .windows(2)
        .find(|pair| pair[1].abs_diff(pair[0]).abs_diff(3000) > 300);
    assert_eq!(gap, None, "a picture is missing, or one too many");
}

/// The presentation time of the picture that starts in this packet.
fn video_time(packet: &[u8]) -> Option<u64> {
    let begins = packet[1] & 0x40 != 0;
    let adaptation = if packet[3] & 0x20 != 0 {
        1 + usize::from(packet[4])
    } else {
        0
    };
    let pes = packet.get(4 + adaptation..)?;
    let is_video = begins && pes.get(..3)? == [0, 0, 1] && pes.get(3)? & 0xF0 == 0xE0;
    if !is_video || pes.get(7)? & 0x80 == 0 {
        return None;
    }
    let time = pes
        .get(9..14)?
        .iter()
        .map(|byte| u64::from(*byte))
        .collect::<Vec<_>>();
    Some((time[0] >> 1 & 7) << 30 | time[1] << 22 | (time[2] >> 1) << 15 | time[3] << 7 | time[4] >> 1)
}

#[cfg(test)]
mod tests {
    use super::assert_remuxed;
    use srt_e2e::source::{TS_PACKET, sample_ts};

    #[test]
    fn the_sample_is_whole() {
        assert_remuxed(&sample_ts().bytes(), 210);
    }

    #[test]
    #[should_panic(expected = "are missing")]
    fn a_lost_packet_is_seen() {
        let bytes = sample_ts().bytes();
        assert_remuxed(
            &[&bytes[..TS_PACKET * 500], &bytes[TS_PACKET * 501..]].concat(),
            1,
        );
    }

    #[test]
    #[should_panic(expected = "a picture is missing")]
    fn a_lost_picture_is_seen() {
        // 16 packets or more of each PID: the counters may match by chance, the times do not.
        let bytes = sample_ts().bytes();
        let kept = bytes.chunks_exact(TS_PACKET).enumerate().filter(|(at, packet)| {
            let is_video = packet[1] & 0x1F == 1 && packet[2] == 0;
            is_video && !(500..800).contains(at)
        });
        let mut counter = 0;
        let renumbered: Vec<u8> = kept
            .flat_map(|(_, packet)| {
                let mut packet = packet.to_vec();
                if packet[3] & 0x10 != 0 {
                    packet[3] = packet[3] & 0xF0 | counter;
                    counter = (counter + 1) & 0x0F;
                }
                packet
            })
            .collect();
        assert_remuxed(&renumbered, 1);
    }
}
