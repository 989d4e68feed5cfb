//! Encodings that a text may have gone through on its way: percent-encoding, backslash escapes of JSON, HTML entities, in
//! any mixture and depth; and base64, whose text depends on what stands before.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Times that encodings are undone one inside the other; a text that is wrapped more often is not one that a server made.
const MAX_LAYERS: usize = 4;
/// A byte that no credential has, for characters outside ASCII that stand as an escape.
const FOREIGN: u8 = 0xff;

/// One byte of the plain text, and the part of the encoded text that it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) byte: u8,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The text with its encodings undone. Backslashes drop out, since each layer of JSON adds some; the part that a unit stands
/// for includes them, so that cutting at units never leaves half an escape behind.
pub(super) fn units(text: &str) -> Vec<Unit> {
    let bytes = text.bytes().enumerate();
    let mut units: Vec<Unit> = bytes.map(|(at, byte)| Unit { byte, start: at, end: at + 1 }).collect();
    for _ in 0..MAX_LAYERS {
        if !units.iter().any(|unit| matches!(unit.byte, b'\\' | b'%' | b'&')) {
            break;
        }
        let undone = undo(&units);
        let is_plain = undone.len() == units.len();
        units = undone;
        if is_plain {
            break;
        }
    }
    units
}

/// The bytes of [`units`] alone.
pub(super) fn plain(text: &str) -> Vec<u8> {
    units(text).into_iter().map(|unit| unit.byte).collect()
}

/// Undoes one layer.
fn undo(units: &[Unit]) -> Vec<Unit> {
    let mut undone = Vec::with_capacity(units.len());
    let mut rest = units;
    while let Some(first) = rest.first() {
        let backslashes = rest.iter().take_while(|unit| unit.byte == b'\\').count();
        let encoded = &rest[backslashes..];
        let Some(next) = encoded.first() else { break };
        let read = match next.byte {
            b'u' if backslashes > 0 => hexadecimal(encoded.get(1..5)).map(|code| (code, 5)),
            b'%' => hexadecimal(encoded.get(1..3)).map(|code| (code, 3)),
            b'&' => entity(encoded),
            _ => None,
        };
        let (byte, length) = match read {
            Some((code, length)) => (u8::try_from(code).ok().filter(u8::is_ascii).unwrap_or(FOREIGN), length),
            None => (next.byte, 1),
        };
        undone.push(Unit { byte, start: first.start, end: encoded[length - 1].end });
        rest = &encoded[length..];
    }
    undone
}

fn hexadecimal(digits: Option<&[Unit]>) -> Option<u32> {
    digits?.iter().try_fold(0, |code, unit| Some(code * 16 + char::from(unit.byte).to_digit(16)?))
}

/// `&amp;`, `&#39;`, `&#x27;` at the start of `units`: the character's code and the entity's length.
fn entity(units: &[Unit]) -> Option<(u32, usize)> {
    const MAX_LENGTH: usize = 9;
    const NAMED: [(&str, u8); 5] = [("amp", b'&'), ("lt", b'<'), ("gt", b'>'), ("quot", b'"'), ("apos", b'\'')];
    let end = units.iter().take(MAX_LENGTH).position(|unit| unit.byte == b';')?;
    let name: String = units[1..end].iter().map(|unit| char::from(unit.byte)).collect();
    let code = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => u32::from(NAMED.iter().find(|(known, _)| *known == name)?.1),
    };
    Some((code, end + 1))
}

/// The texts that `secret` is inside a longer text's base64: one for each position in a group of three bytes, and each in
/// both alphabets, without the characters at both ends that depend on what stands beside it.
pub(super) fn base64_cores(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut cores = Vec::new();
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        // Characters whose six bits are all the secret's own.
        let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        let standard = STANDARD_NO_PAD.encode(&bytes);
        let url_safe = URL_SAFE_NO_PAD.encode(&bytes);
        let core = |encoded: &str| encoded.as_bytes().get(first..last).unwrap_or_default().to_vec();
        if url_safe != standard {
            cores.push(core(&url_safe));
        }
        cores.push(core(&standard));
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        String::from_utf8_lossy(&plain(text)).into_owned()
    }

    #[test]
    fn encodings_are_undone_in_any_mixture() {
        assert_eq!(read(r"a%2Fb%2fc%252Fd"), "a/b/c/d");
        assert_eq!(read(r#"a\u002fb\"c\\\\d\\\"e"#), r#"a/b"cd"e"#);
        assert_eq!(read("a&amp;b&#38;c&#x26;d&lt;"), "a&b&c&d<");
        assert_eq!(read("100% & more; %zz &nosuch; \\"), "100% & more; %zz &nosuch; ");
        assert_eq!(units(r"x\u00e9y").len(), 3, "a character outside ASCII is one unit");
    }

    #[test]
    fn a_unit_covers_its_whole_escape() {
        let text = r"\\u0041%2542";
        let units = units(text);
        let covered: Vec<&str> = units.iter().map(|unit| &text[unit.start..unit.end]).collect();
        assert_eq!(covered, [r"\\u0041", "%2542"]);
    }

    #[test]
    fn the_core_is_found_in_the_base64_of_anything_around_it() {
        let secret = "s3cr3t>>>???value";
        for before in ["", "a", "ab", "client-id:", "Bearer "] {
            for after in ["", "x", "xy", "xyz"] {
                let encoded = STANDARD_NO_PAD.encode(format!("{before}{secret}{after}"));
                let cores = base64_cores(secret.as_bytes());
                let is_found = |core: &Vec<u8>| encoded.contains(std::str::from_utf8(core).unwrap());
                assert!(cores.iter().any(is_found), "{before}{after}: {encoded}");
            }
        }
    }
}
