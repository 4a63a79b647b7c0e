//! Forward error correction over a link that loses the same packets each time.

#[path = "support/lossy.rs"]
mod lossy;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use lossy::{Fate, LossyLink, Way, Wire, pace};
use srt_safe::{Arq, Counters, FecLayout, Options, PacketFilter, RejectReason, SrtSocket, opt};
use support::{PATIENCE, accept, addr_of, listener, noise, refused};

const PACKETS: u64 = 1500;
/// Sent after the packets that count: completes the last matrix.
const TAIL: u64 = 200;

fn options(filter: PacketFilter) -> Options {
    Options::new()
        .latency(Duration::from_secs(1))
        .receive_timeout(PATIENCE)
        .packet_filter(filter)
        .payload_size(1316)
}

/// Sends through a link that loses the data packets for whose running number `loses` is true (the filter's packets and
/// retransmissions included), and compares the received messages. Returns the counters of sender and receiver, and the
/// number of lost packets.
fn relay(options: &Options, loses: impl Fn(u64) -> bool + Send + 'static) -> (Counters, Counters, u64) {
    let listener = listener(options);
    let lost = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&lost);
    let mut number = 0;
    let link = LossyLink::new(addr_of(&listener), move |way, packet: Wire<'_>| {
        if way == Way::ToListener && packet.is_data() {
            number += 1;
            // The tail must arrive, otherwise the matrix that it completes stays incomplete.
            if number < PACKETS && loses(number) {
                counted.fetch_add(1, Ordering::Relaxed);
                return Fate::Lose;
            }
        }
        Fate::Pass
    })
    .expect("a link");
    let caller = SrtSocket::builder()
        .options(options.clone())
        .connect(link.addr())
        .expect("a connection");
    let accepted = accept(&listener);

    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..PACKETS + TAIL {
                caller.send(&noise(number, 1316)).expect("sent");
                pace();
            }
        });
        let mut buffer = [0; 1500];
        for number in 0..PACKETS {
            let len = accepted.recv(&mut buffer).expect("a packet");
            assert!(
                buffer[..len] == noise(number, 1316),
                "packet {number} is missing or came changed"
            );
        }
    });
    let sent = caller.stats().expect("connected").total;
    let received = accepted.stats().expect("connected").total;
    (sent, received, lost.load(Ordering::Relaxed))
}

#[test]
fn single_losses_are_restored_without_asking() {
    let filter = PacketFilter::fec().columns(10).rows(5).arq(Arq::Never);
    let (sent, received, lost) = relay(&options(filter), |number| number % 17 == 3);
    assert!(lost > 60, "{lost}");
    assert!(received.filter_restored > 60, "{received:?}");
    assert!(received.filter_restored <= lost);
    assert_eq!(received.filter_lost, 0);
    assert_eq!(received.receive_dropped.packets, 0);
    assert_eq!(sent.retransmitted.packets, 0, "nothing was asked for");
    assert_eq!(received.naks_sent, 0);
    // 1 of 10 for the rows, 1 of 5 for the columns.
    assert!(sent.filter_sent > PACKETS / 4, "{sent:?}");
    assert!(received.filter_received > 0);
}

#[test]
fn bursts_are_restored_by_columns() {
    let filter = PacketFilter::fec()
        .columns(8)
        .columns_only(8)
        .layout(FecLayout::Even)
        .arq(Arq::Never);
    let (sent, received, lost) = relay(&options(filter), |number| number % 300 < 4);
    assert!(lost > 15, "{lost}");
    assert!(received.filter_restored > 15, "{received:?}");
    assert_eq!(sent.retransmitted.packets, 0, "nothing was asked for");
}

#[test]
fn what_cannot_be_restored_is_asked_for() {
    let filter = PacketFilter::fec().columns(10).rows(1).arq(Arq::OnRequest);
    let (sent, received, lost) = relay(&options(filter), |number| (300..330).contains(&number));
    assert_eq!(lost, 30);
    assert!(received.filter_lost > 0, "{received:?}");
    assert!(sent.retransmitted.packets >= 18, "{sent:?}");
    assert!(received.received_retransmitted >= 18, "{received:?}");
}

#[test]
fn one_side_may_leave_the_matrix_to_the_other() {
    let full = PacketFilter::fec()
        .columns(12)
        .rows(4)
        .layout(FecLayout::Even)
        .arq(Arq::Always);
    let listener = listener(&options(PacketFilter::fec()));
    let caller = SrtSocket::builder()
        .options(options(full))
        .connect(addr_of(&listener))
        .expect("a connection");
    let accepted = accept(&listener);
    let agreed = accepted
        .option::<opt::PacketFilter>()
        .expect("readable")
        .expect("a filter");
    assert_eq!(
        caller.option::<opt::PacketFilter>().expect("readable"),
        Some(agreed)
    );
    for part in ["cols:12", "rows:4", "layout:even", "arq:always"] {
        assert!(agreed.to_string().contains(part), "{agreed}");
    }
}

#[test]
fn different_matrices_are_refused() {
    let listener = listener(&options(PacketFilter::fec().columns(10)));
    let calling = options(PacketFilter::fec().columns(11));
    let error = refused(SrtSocket::builder().options(calling).connect(addr_of(&listener)));
    assert_eq!(error.reject_reason(), Some(RejectReason::FILTER), "{error}");
}
