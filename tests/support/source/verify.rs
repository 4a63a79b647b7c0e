//! Checks a received copy of a [`StampedTs`] packet by packet for missing, duplicate, reordered and changed packets.
//!
//! Accepts bytes in pieces of any size, so it can follow a socket or a file.

use super::{StampedTs, TS_PACKET};
use std::ops::RangeInclusive;

/// Compares the received with the sent stream.
#[derive(Debug)]
pub struct Verifier {
    source: StampedTs,
    partial: Vec<u8>,
    /// Tables that arrived before the first packet with a position.
    early: Vec<Vec<u8>>,
    seen: Vec<bool>,
    last: Option<usize>,
    highest: usize,
    report: Report,
}

/// The findings of a [`Verifier`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whole packets received.
    pub packets: usize,
    /// The lowest and the highest position received.
    pub places: Option<RangeInclusive<usize>>,
    /// Packets between those two that never arrived.
    pub lost: usize,
    /// Packets that arrived again.
    pub duplicates: usize,
    /// Packets that arrived after one of a higher position.
    pub reordered: usize,
    /// Packets that do not equal any packet of the source.
    pub corrupt: usize,
    /// Bytes after the last whole packet.
    pub trailing: usize,
}

impl Report {
    /// Demands one contiguous, byte-exact, ordered part of the source of at least `packets` packets.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn assert_exact(&self, packets: usize) {
        let faults = [
            self.lost,
            self.duplicates,
            self.reordered,
            self.corrupt,
            self.trailing,
        ];
        assert!(
            faults == [0; 5] && self.packets >= packets,
            "want {packets} exact packets, got {self:?}"
        );
    }
}

impl Verifier {
    /// Starts to check against `source`; the first packet may be any of it.
    #[must_use]
    pub fn new(source: &StampedTs) -> Self {
        Self {
            source: source.clone(),
            partial: Vec::new(),
            early: Vec::new(),
            seen: vec![false; source.packets()],
            last: None,
            highest: 0,
            report: Report::default(),
        }
    }

    /// Feeds the next received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.partial);
        let packets = all.chunks_exact(TS_PACKET);
        self.partial = packets.remainder().to_vec();
        packets.for_each(|packet| self.packet(packet));
    }

    /// The highest position received so far.
    #[must_use]
    pub fn highest(&self) -> Option<usize> {
        self.last.map(|_| self.highest)
    }

    /// The complete report.
    #[must_use]
    pub fn finish(mut self) -> Report {
        // Without one packet that carries a position, tables alone cannot be placed.
        self.report.corrupt += self.early.len();
        self.report.trailing = self.partial.len();
        let first = self.seen.iter().position(|seen| *seen);
        self.report.places = first.map(|first| first..=self.highest);
        self.report.lost = first.map_or(0, |first| {
            self.seen[first..=self.highest]
                .iter()
                .filter(|seen| !**seen)
                .count()
        });
        self.report
    }

    fn packet(&mut self, packet: &[u8]) {
        self.report.packets += 1;
        match (self.source.place_of(packet), self.last) {
            (Some(place), None) => {
                let early = std::mem::take(&mut self.early);
                let first = place.saturating_sub(early.len());
                for (table, place) in early.iter().zip(first..) {
                    self.place(table, place);
                }
                self.place(packet, place);
            }
            (Some(place), Some(_)) => self.place(packet, place),
            (None, None) => self.early.push(packet.to_vec()),
            (None, Some(last)) => match self.table_near(packet, last) {
                Some(place) => self.place(packet, place),
                None => self.report.corrupt += 1,
            },
        }
    }

    /// The position of a table: the next position if it fits there, else the nearest table that equals it. Tables
    /// repeat every 16 groups, so two groups around the last position are unambiguous.
    fn table_near(&self, packet: &[u8], last: usize) -> Option<usize> {
        let reach = 2 * StampedTs::group();
        let nearby = last.saturating_sub(reach)..self.source.packets().min(last + reach);
        let fits = |place: &usize| StampedTs::is_table(*place) && self.source.packet(*place) == Some(packet);
        nearby.filter(fits).min_by_key(|place| place.abs_diff(last + 1))
    }

    /// Counts `packet`, which carries the position `place`.
    fn place(&mut self, packet: &[u8], place: usize) {
        if self.source.packet(place) != Some(packet) {
            self.report.corrupt += 1;
            return;
        }
        if std::mem::replace(&mut self.seen[place], true) {
            self.report.duplicates += 1;
        } else if self.last.is_some() && place < self.highest {
            self.report.reordered += 1;
        }
        self.highest = self.highest.max(place);
        self.last = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Verifier};
    use crate::source::StampedTs;

    fn stream() -> StampedTs {
        StampedTs::generate(9, 1000, 5_000_000)
    }

    /// The report for the packets at `places`, fed in pieces that split packets.
    fn report(places: impl IntoIterator<Item = usize>) -> Report {
        let stream = stream();
        let bytes: Vec<u8> = places
            .into_iter()
            .flat_map(|place| stream.packet(place).unwrap().to_vec())
            .collect();
        let mut verifier = Verifier::new(&stream);
        bytes.chunks(1000).for_each(|piece| verifier.feed(piece));
        verifier.finish()
    }

    #[test]
    fn whole_stream_is_exact() {
        let report = report(0..1000);
        report.assert_exact(1000);
        assert_eq!(report.places, Some(0..=999));
    }

    #[test]
    fn any_part_is_exact() {
        for (first, last) in [(1, 700), (250, 299), (300, 950), (601, 603)] {
            let report = report(first..=last);
            report.assert_exact(last - first + 1);
            assert_eq!(report.places, Some(first..=last));
        }
    }

    #[test]
    fn lost_packets_are_counted_tables_included() {
        let kept = (0..1000).filter(|place| ![10, 11, 300, 601, 700].contains(place));
        let report = report(kept);
        assert_eq!((report.lost, report.packets), (5, 995));
        assert_eq!((report.duplicates, report.reordered, report.corrupt), (0, 0, 0));
    }

    #[test]
    fn duplicates_are_counted_tables_included() {
        let report = report([5, 5, 6, 7].into_iter().chain(8..=300).chain([300, 301, 302]));
        assert_eq!((report.duplicates, report.lost, report.reordered), (2, 0, 0));
    }

    #[test]
    fn reordering_is_counted() {
        let report = report([2, 3, 5, 4, 6, 9, 7, 8]);
        assert_eq!((report.reordered, report.lost, report.duplicates), (3, 0, 0));
    }

    #[test]
    fn changed_bytes_are_counted() {
        let stream = stream();
        let mut bytes = stream.bytes()[..5 * 188].to_vec();
        bytes[3 * 188 + 187] ^= 1; // the filler of a video packet
        bytes[20] ^= 1; // the PAT
        let mut verifier = Verifier::new(&stream);
        verifier.feed(&bytes);
        verifier.feed(&[0x47; 10]);
        let report = verifier.finish();
        assert_eq!((report.corrupt, report.lost, report.trailing), (2, 1, 10));
    }

    #[test]
    #[should_panic(expected = "lost: 1")]
    fn loss_is_not_exact() {
        report([2, 3, 5]).assert_exact(3);
    }
}
