//! Text of DVB tables (ETSI EN 300 468, annex A): the first byte may select the character table.
//!
//! Latin text uses the default table (ISO 6937 with the euro sign); `encoding_rs` decodes the other tables. Characters
//! without a mapping become U+FFFD; control codes are dropped, except for the line break.

use encoding_rs::Encoding;

use crate::names::is_control;

/// The length limit of a displayed text, in bytes.
const TEXT_MAX: usize = 255;

/// Decodes a text.
pub(super) fn decode(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    let text = match *bytes {
        [] => return String::new(),
        [0x20..=0xFF, ..] => latin(bytes),
        [table @ 0x01..=0x0B, ref rest @ ..] => by_part(u16::from(table) + 4, rest),
        [0x10, high, low, ref rest @ ..] => by_part(u16::from_be_bytes([high, low]), rest),
        [0x11 | 0x14, ref rest @ ..] if bytes[0] == 0x11 => utf16(rest),
        [0x12, ref rest @ ..] => by(encoding_rs::EUC_KR, rest),
        [0x13, ref rest @ ..] => by(encoding_rs::GBK, rest),
        [0x14, ref rest @ ..] => by(encoding_rs::BIG5, rest),
        [0x15, ref rest @ ..] => by(encoding_rs::UTF_8, rest),
        // 0x1F: a company's own encoding; and reserved values.
        _ => latin(bytes.get(1..).unwrap_or_default()),
    };
    text.chars().filter_map(printable).collect()
}

/// Filters emphasis marks and other controls (table A.1).
fn printable(c: char) -> Option<char> {
    match c {
        '\u{8a}' | '\u{e08a}' | '\n' => Some(' '),
        '\u{e080}'..='\u{e09f}' => None,
        c if is_control(c) => None,
        c => Some(c),
    }
}

fn by(encoding: &'static Encoding, bytes: &[u8]) -> String {
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

fn utf16(bytes: &[u8]) -> String {
    by(encoding_rs::UTF_16BE, bytes)
}

/// A part of ISO 8859.
fn by_part(part: u16, bytes: &[u8]) -> String {
    // encoding_rs has 8859-1, -9 and -11 as the windows tables that contain them; the additional characters are
    // controls here.
    let encoding = match part {
        2 => encoding_rs::ISO_8859_2,
        3 => encoding_rs::ISO_8859_3,
        4 => encoding_rs::ISO_8859_4,
        5 => encoding_rs::ISO_8859_5,
        6 => encoding_rs::ISO_8859_6,
        7 => encoding_rs::ISO_8859_7,
        8 => encoding_rs::ISO_8859_8,
        9 => encoding_rs::WINDOWS_1254,
        10 => encoding_rs::ISO_8859_10,
        11 => encoding_rs::WINDOWS_874,
        13 => encoding_rs::ISO_8859_13,
        14 => encoding_rs::ISO_8859_14,
        15 => encoding_rs::ISO_8859_15,
        _ => encoding_rs::WINDOWS_1252,
    };
    let printing: Vec<u8> = bytes
        .iter()
        .map(|byte| match byte {
            0x8A => b' ',
            0x80..=0x9F => 0,
            byte => *byte,
        })
        .collect();
    by(encoding, &printing)
}

/// ISO 6937: a diacritical mark precedes its letter.
fn latin(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut mark = None;
    for &byte in bytes {
        if let Some(pending) = mark.take() {
            text.push_str(&marked(pending, byte));
        } else if (0xC1..=0xCF).contains(&byte) {
            mark = Some(byte);
        } else {
            text.push(latin_char(byte));
        }
    }
    text
}

fn latin_char(byte: u8) -> char {
    const A0: [char; 32] = [
        '\u{a0}', '¡', '¢', '£', '€', '¥', '\u{fffd}', '§', '¤', '‘', '“', '«', '←', '↑', '→', '↓', '°', '±',
        '²', '³', '×', 'µ', '¶', '·', '÷', '’', '”', '»', '¼', '½', '¾', '¿',
    ];
    const D0: [char; 48] = [
        '―', '¹', '®', '©', '™', '♪', '¬', '¦', '\u{fffd}', '\u{fffd}', '\u{fffd}', '\u{fffd}', '⅛', '⅜',
        '⅝', '⅞', 'Ω', 'Æ', 'Đ', 'ª', 'Ħ', '\u{fffd}', 'Ĳ', 'Ŀ', 'Ł', 'Ø', 'Œ', 'º', 'Þ', 'Ŧ', 'Ŋ', 'ŉ', 'ĸ',
        'æ', 'đ', 'ð', 'ħ', 'ı', 'ĳ', 'ŀ', 'ł', 'ø', 'œ', 'ß', 'þ', 'ŧ', 'ŋ', '\u{ad}',
    ];
    match byte {
        0xA0..=0xBF => A0[usize::from(byte - 0xA0)],
        0xD0..=0xFF => D0[usize::from(byte - 0xD0)],
        0xC0..=0xCF => '\u{fffd}',
        _ => char::from(byte),
    }
}

/// A letter with a mark, as one character if there is one.
fn marked(mark: u8, letter: u8) -> String {
    let (combining, letters, composed) = match mark {
        0xC1 => ('\u{300}', "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
        0xC2 => (
            '\u{301}',
            "ACEILNORSUYZacegilnorsuyz",
            "ÁĆÉÍĹŃÓŔŚÚÝŹáćéģíĺńóŕśúýź",
        ),
        0xC3 => ('\u{302}', "ACEGHIJOSUWYaceghijosuwy", "ÂĈÊĜĤÎĴÔŜÛŴŶâĉêĝĥîĵôŝûŵŷ"),
        0xC4 => ('\u{303}', "AINOUainou", "ÃĨÑÕŨãĩñõũ"),
        0xC5 => ('\u{304}', "AEIOUaeiou", "ĀĒĪŌŪāēīōū"),
        0xC6 => ('\u{306}', "AGUagu", "ĂĞŬăğŭ"),
        0xC7 => ('\u{307}', "CEGIZcegz", "ĊĖĠİŻċėġż"),
        0xC8 => ('\u{308}', "AEIOUYaeiouy", "ÄËÏÖÜŸäëïöüÿ"),
        0xCA => ('\u{30a}', "AUau", "ÅŮåů"),
        0xCB => ('\u{327}', "CGKLNRSTcklnrst", "ÇĢĶĻŅŖŞŢçķļņŗşţ"),
        0xCD => ('\u{30b}', "OUou", "ŐŰőű"),
        0xCE => ('\u{328}', "AEIUaeiu", "ĄĘĮŲąęįų"),
        0xCF => ('\u{30c}', "CDELNRSTZcdelnrstz", "ČĎĚĽŇŘŠŤŽčďěľňřšťž"),
        _ => ('\u{fffd}', "", ""),
    };
    let letter = latin_char(letter);
    let one = letters
        .chars()
        .zip(composed.chars())
        .find_map(|(plain, composed)| (plain == letter).then_some(composed));
    one.map_or_else(|| format!("{letter}{combining}"), String::from)
}
