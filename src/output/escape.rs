//! Characters that could act on a terminal or turn the order of a line around, made visible.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns whether a character changes how a terminal shows other text: controls (C0, DEL, C1), bidirectional marks, embeddings and
/// isolates, line and paragraph separators, and invisible marks of no use in a name.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// One line: every character that acts is written as an escape, line feeds too.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    rewritten(text, acts, |character, out| out.extend(shown(character)))
}

/// Several lines: line feeds stay.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    rewritten(text, |character| acts(character) && character != '\n', |character, out| out.extend(shown(character)))
}

/// JSON: what acts stands inside a string of it, so JSON's own escape keeps the value.
pub(super) fn in_json(text: &str) -> Cow<'_, str> {
    rewritten(text, acts, |character, out| {
        // Writing to a String can't fail. All characters that act lie below U+10000.
        let _ = write!(out, "\\u{:04x}", u32::from(character));
    })
}

/// `\n`, `\r`, `\t`, `\u{1b}`.
fn shown(character: char) -> impl Iterator<Item = char> {
    character.escape_default()
}

fn rewritten(text: &str, is_rewritten: impl Fn(char) -> bool, rewrite: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&is_rewritten) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_rewritten(character) { rewrite(character, &mut out) } else { out.push(character) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        for text in ["Projekte 2026", "项目", "مشاريع", "👩‍👩‍👧", "a \\ b", ""] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_acts_is_left(text: String) {
            proptest::prop_assert!(!line(&text).contains(acts));
            proptest::prop_assert!(!lines(&text).contains(|c| acts(c) && c != '\n'));
        }

        #[test]
        fn json_keeps_the_value(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = in_json(&json);
            proptest::prop_assert!(!escaped.contains(acts));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
