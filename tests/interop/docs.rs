//! docs/interop.md, generated from the table.

use crate::clients::{Carrier, Use, words};
use crate::rows::{Client, Expected, Family, Id, Key, Mode, Role, Row, all};
use crate::url::Place;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const HEAD: &str = "# Interoperability

This page lists the clients that the gateway is tested with, and gives the commands to publish and play with each.

It is generated from the table in `tests/interop/rows.rs`. `cargo xtask test` tests a selection of its rows in which every two
properties meet (client, port, encryption, streamid, address family), and `cargo xtask interop` tests all of them. A row passes
if the complete stream arrives: byte for byte if the client passes it on unchanged, and without a missing packet or picture if
the client remuxes it.

";

const KEY: &str = "
`calls`: the client calls the gateway (`[srt]`, or a port of the stream). `listens`: an input or output of the gateway calls the client.
`rendezvous`: both call each other. All clients work over IPv4 and IPv6 (rsrt over IPv4 only), without encryption and with
AES-128, AES-192 and AES-256; the client chooses the key length unless you configure `key_length`. All streamid formats of
[access-control.md](access-control.md#streamid-dialects) work.
";

/// The row that a line to paste belongs to.
fn row(client: Client, role: Role, key: Key, family: Family) -> Row {
    let mut row = Row {
        client,
        role,
        mode: Mode::Shared,
        key,
        id: Id::Raw,
        family,
    };
    if row.expected() != Expected::Works {
        row.id = Id::Encoded;
    }
    row
}

/// A word, quoted for a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&byte);
    if word.bytes().all(is_plain) || word == "!" {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The line to paste.
fn line(client: Client, role: Role, key: Key, family: Family) -> String {
    let addr: SocketAddr = match family {
        Family::V4 => ([127, 0, 0, 1], 9998).into(),
        Family::V6 => ([0, 0, 0, 0, 0, 0, 0, 1], 9998).into(),
    };
    let place = Place {
        addr,
        local: None,
        latency: None,
    };
    let words = words(&row(client, role, key, family), &place, Use::Docs);
    let command = words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" ");
    match (client.carrier(role), role) {
        (Carrier::File, _) => command,
        (Carrier::Pipe, Role::Publish) => {
            format!("ffmpeg -re -i FILE.ts -c copy -f mpegts - | {command}")
        }
        (Carrier::Pipe, Role::Play) => format!("{command} > OUT.ts"),
    }
}

fn works(client: Client, role: Role) -> bool {
    let is_there = client.roles().contains(&role);
    is_there && row(client, role, Key::None, Family::V4).expected() == Expected::Works
}

/// The modes that work for a role, in words.
fn modes(client: Client, role: Role) -> String {
    if !works(client, role) {
        return "no".to_owned();
    }
    let names = client.modes(role).iter().filter_map(|mode| match mode {
        Mode::Shared => Some("calls"),
        Mode::Own => None,
        Mode::Listener => Some("listens"),
        Mode::Rendezvous => Some("rendezvous"),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn notes(client: Client) -> Vec<&'static str> {
    let mut notes = match client {
        Client::LiveTransmit => vec![
            "It does not pace what it reads and cannot read a regular file from standard input, hence the ffmpeg in front of it. Its default chunk of \
             1456 bytes is not a whole number of TS packets, hence `-chunk:1316`.",
        ],
        Client::Ffmpeg => vec![
            "Its `latency` is in microseconds. ffplay takes the same URLs. Without `-analyzeduration` and `-probesize`, it analyses five seconds of a \
             stream before it plays.",
        ],
        Client::GStreamer => {
            vec!["Without `tsparse set-timestamps=true`, it sends a file as fast as it can read it."]
        }
        Client::Vlc => vec![
            "In its window, paste the URL into *Media > Open Network Stream*. After a refusal, VLC tries again at once, many times a second.",
        ],
        Client::Mpv => vec!["Its `latency` is in microseconds."],
        Client::Tstrans => vec!["This is a Python library; `tests/interop/tstrans_client.py` uses it."],
        Client::SrtTokio | Client::Rsrt => {
            vec![
                "This is an SRT implementation in Rust that does not use libsrt; `tests/interop/rust_peers` uses it.",
            ]
        }
        Client::NewFfmpeg | Client::Relay => vec![],
    };
    if !client.families().contains(&Family::V6) {
        notes.push("It does not support IPv6.");
    }
    for row in all().into_iter().filter(|row| row.client == client) {
        if let Expected::Refused { because, .. } | Expected::Silent { because } = row.expected()
            && !notes.contains(&because)
        {
            notes.push(because);
        }
    }
    notes
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "| client | version | publishes | plays | bytes |\n|---|---|---|---|---|\n";
    for client in Client::ALL {
        let (name, version) = client.name_and_version();
        let bytes = if client.remuxes(Role::Play) {
            "remuxed"
        } else {
            "unchanged"
        };
        let [publishes, plays] = [Role::Publish, Role::Play].map(|role| modes(client, role));
        writeln!(page, "| {name} | {version} | {publishes} | {plays} | {bytes} |")
            .expect("a String takes everything");
    }
    page += KEY;
    for client in Client::ALL {
        // It is the same program.
        if client == Client::NewFfmpeg {
            continue;
        }
        let (name, _) = client.name_and_version();
        write!(page, "\n## {name}\n\n").expect("a String takes everything");
        for note in notes(client) {
            writeln!(page, "- {note}").expect("a String takes everything");
        }
        for role in [Role::Publish, Role::Play] {
            // A crate has no line to paste.
            if !works(client, role) || matches!(client, Client::SrtTokio | Client::Rsrt) {
                continue;
            }
            let verb = match role {
                Role::Publish => "Publish",
                Role::Play => "Play",
            };
            let lines = [
                line(client, role, Key::None, Family::V4),
                line(client, role, Key::Aes256, Family::V4),
                line(client, role, Key::None, Family::V6),
            ];
            write!(
                page,
                "\n{verb}: plain, with AES-256, over IPv6.\n\n```\n{}\n```\n",
                lines.join("\n")
            )
            .expect("a String takes everything");
        }
    }
    page
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interop.md");
    let page = page();
    if std::env::var_os("SRT_INTEROP_WRITE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/interop.md is stale: run `SRT_INTEROP_WRITE=1 cargo test -p srt-e2e --test interop page`"
    );
}
