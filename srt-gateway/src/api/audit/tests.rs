//! Tests of the audit log without HTTP.

use std::fs;

use super::*;

fn log(file: Option<&Path>, size: u64) -> AuditLog {
    AuditLog::new(&Api {
        audit_file: file.map(Path::to_owned),
        audit_file_size: size,
        ..Api::default()
    })
}

fn entry(by: &str, address: [u8; 4], result: Outcome) -> Entry {
    Entry {
        via: Via::Api,
        by: by.to_owned(),
        address: Some(address.into()),
        action: "PUT".to_owned(),
        object: "streams/a".to_owned(),
        changes: Changes::default(),
        result,
        status: None,
        error: None,
    }
}

#[test]
fn strangers_push_no_change_out_and_are_one_record_each() {
    let (log, events) = (log(None, 1), EventLog::new("gw"));
    log.add(entry("night", [192, 0, 2, 1], Outcome::Ok), &events);
    let now = Instant::now();
    for number in 0..5000_u16 {
        let [high, low] = number.to_be_bytes();
        let stranger = entry("unknown", [10, 0, high, low], Outcome::Refused);
        log.add_refused(stranger.clone(), &events, now);
        log.add_refused(stranger, &events, now);
    }
    let records = log.newest_first();
    assert_eq!((records.len(), log.refused()), (1 + REFUSED, 10_000));
    let oldest = records.last().unwrap();
    assert_eq!((oldest.number, oldest.entry.by.as_str()), (1, "night"));
    assert_eq!((records[0].number, records[0].count), (10_001, 2));
    // Only few of 5000 strangers are reported.
    let reported = events.from(1, 10_000);
    assert_eq!(reported.len(), 1 + 20);
    assert!(reported.iter().all(|event| event.what.event == EventKind::Audit));
}

#[test]
fn a_day_of_strangers_takes_little_of_the_file() {
    let (log, events) = (log(None, 1), EventLog::new("gw"));
    let now = Instant::now();
    for second in 0..86_400_u32 {
        let [_, high, mid, low] = second.to_be_bytes();
        let mut stranger = entry("unknown", [10, high, mid, low], Outcome::Refused);
        stranger.object = "\u{1b}".repeat(4000);
        stranger.error = Some("\u{202e}".repeat(4000));
        log.add_refused(stranger, &events, now + Duration::from_secs(second.into()));
    }
    let line = serde_json::to_string(&log.newest_first()[0]).unwrap().len() as u64;
    let bytes = line * events.last();
    assert!(
        (100_000..1_500_000).contains(&bytes),
        "{bytes} bytes, {line} each"
    );
}

#[test]
fn changes_that_fail_again_and_again_push_no_change_out() {
    let (log, events) = (log(None, 1), EventLog::new("gw"));
    log.add(entry("night", [192, 0, 2, 1], Outcome::Ok), &events);
    for _ in 0..5000 {
        log.add(entry("angry", [192, 0, 2, 2], Outcome::Failed), &events);
    }
    let records = log.newest_first();
    let failed = |record: &&Record| record.entry.result == Outcome::Failed;
    let reported = records.iter().filter(failed).count();
    // One more for each 20 seconds that this takes.
    assert!((100..=105).contains(&reported), "{reported}");
    assert_eq!(records.last().unwrap().entry.by, "night");
    let mut all = log.records();
    all.failures = TokenBucket::full(FAILURES, Instant::now());
    let next = all.fail(entry("angry", [192, 0, 2, 2], Outcome::Failed), Instant::now());
    let counted: u64 = records.iter().filter(failed).map(|record| record.count).sum();
    assert_eq!(counted + next.unwrap().count, 5001);
}

#[test]
fn a_client_that_goes_on_is_reported_again_after_a_while() {
    let (log, events) = (log(None, 1), EventLog::new("gw"));
    let now = Instant::now();
    let refuse = |now| log.add_refused(entry("unknown", [10, 0, 0, 1], Outcome::Refused), &events, now);
    for _ in 0..10 {
        refuse(now);
    }
    assert_eq!(events.last(), 1);
    refuse(now + AGAIN);
    assert_eq!(events.last(), 2);
    assert_eq!(events.from(2, 1)[0].what.times, Some(11));
}

#[test]
fn the_last_changes_are_kept() {
    let (log, events) = (log(None, 1), EventLog::new("gw"));
    for _ in 0..KEPT + 5 {
        log.add(entry("night", [192, 0, 2, 1], Outcome::Ok), &events);
    }
    let records = log.newest_first();
    let ends = (records[0].number, records[KEPT - 1].number);
    assert_eq!((records.len(), ends), (KEPT, (KEPT as u64 + 5, 6)));
}

#[test]
fn the_file_has_each_record_as_a_line_and_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let (log, events) = (log(Some(&path), 2000), EventLog::new("gw"));
    for _ in 0..60 {
        log.add(entry("night\n{", [192, 0, 2, 1], Outcome::Ok), &events);
    }
    log.flush(Duration::from_secs(30));
    let named = |number: u32| folder.path().join(format!("audit.jsonl.{number}"));
    let mut numbers = Vec::new();
    for file in (1..=5).rev().map(named).chain([path]) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.len() <= 2000, "{}", text.len());
        let mode = fs::metadata(&file).unwrap();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
            0o600
        );
        numbers.extend(text.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["by"] == "night\\n{" && line["result"] == "ok", "{line}");
            line["number"].as_u64().unwrap()
        }));
    }
    assert!(!named(6).exists());
    let first = numbers[0];
    assert_eq!(numbers, (first..=60).collect::<Vec<_>>());
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_file_that_cannot_be_written_loses_records_and_no_time_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/audit.jsonl");
    let (log, events) = (log(Some(&path), 1 << 20), EventLog::new("gw"));
    let add = || {
        log.add(entry("night", [192, 0, 2, 1], Outcome::Ok), &events);
        log.flush(Duration::from_secs(30));
    };
    add();
    add();
    assert_eq!(log.lost(), 2);
    fs::create_dir(folder.path().join("later")).unwrap();
    add();
    add();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (lines[0]["number"].as_u64(), lines[0]["missing_before"].as_u64()),
        (Some(3), Some(2))
    );
    assert!(lines[1]["missing_before"].is_null());
    assert_eq!((lines.len(), log.lost()), (2, 2));
}

/// A FIFO without a reader simulates a file system that hangs: it must delay neither the recording thread nor the
/// thread `audit`.
#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let (log, events) = (log(Some(&path), 1 << 20), EventLog::new("gw"));
    log.add(entry("night", [192, 0, 2, 1], Outcome::Ok), &events);
    log.flush(Duration::from_secs(30));
    assert_eq!(log.lost(), 1);
}
