//! Tells values that a person meant to replace from real ones.

/// Whole values that people write where the real one is still to come.
const WHOLE: [&str; 11] =
    ["id", "todo", "tbd", "fixme", "none", "null", "nil", "undefined", "placeholder", "example", "n/a"];

/// Parts of values that people write where the real one is still to come.
const ANYWHERE: [&str; 12] = [
    "changeme",
    "change-me",
    "change_me",
    "replaceme",
    "replace-me",
    "replace_me",
    "fill-me",
    "fill_me",
    "...",
    "…",
    "***",
    "${",
];

/// Patterns that example ids repeat: digits in a row, letters in a row.
const ID_PATTERNS: [&str; 5] =
    ["0123456789abcdef", "1234567890abcdef", "abcdef0123456789", "abcdef1234567890", "12345678123412341234"];

/// Returns whether `text` looks like a placeholder: `your-…`, `changeme`, `<…>`, `xxx`, `todo`, an example id.
pub(crate) fn is_placeholder(text: &str) -> bool {
    let lower = text.trim().to_ascii_lowercase();
    WHOLE.contains(&lower.as_str())
        || ANYWHERE.iter().any(|part| lower.contains(part))
        || addresses_the_reader(&lower)
        || points_at_its_place(&lower)
        || has_angle_brackets(&lower)
        || has_crosses(&lower)
        || is_example_id(&lower)
}

/// `your-token`, `https://your-workspace.…`, `ntn_your_token`; not `for_yourself`.
fn addresses_the_reader(lower: &str) -> bool {
    lower.match_indices("your").any(|(start, word)| {
        let before = lower[..start].chars().next_back();
        let after = lower[start + word.len()..].chars().next();
        let starts_a_word = before.is_none_or(|c| !c.is_ascii_alphanumeric());
        starts_a_word && after.is_some_and(|c| matches!(c, '-' | '_' | ' '))
    })
}

/// `token-here`, `insert-your-key-here`.
fn points_at_its_place(lower: &str) -> bool {
    ["-here", "_here", " here"].iter().any(|end| lower.ends_with(end))
}

/// `<token>`, also inside a longer value.
fn has_angle_brackets(lower: &str) -> bool {
    lower.find('<').is_some_and(|start| lower[start..].contains('>'))
}

/// `xxx` as a word of its own, or so long a run of `x` that chance can't have made it (`dapixxxxxxxx`).
fn has_crosses(lower: &str) -> bool {
    let word_of_crosses = |word: &str| word.len() >= 3 && word.bytes().all(|b| b == b'x');
    lower.contains("xxxxxx") || lower.split(|c: char| !c.is_ascii_alphanumeric()).any(word_of_crosses)
}

/// An id of one repeated digit (`0000…`), or one that counts (`12345678-1234-…`, `0123456789abcdef…`).
fn is_example_id(lower: &str) -> bool {
    let digits: String = lower.chars().filter(|c| *c != '-').collect();
    let is_id = digits.len() >= 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let one_digit = digits.bytes().all(|b| digits.as_bytes().first() == Some(&b));
    is_id && (one_digit || ID_PATTERNS.iter().any(|pattern| digits.starts_with(pattern)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_forgot_to_replace_is_seen() {
        for text in [
            "your-token",
            "insert-token-here",
            "12345678-1234-1234-1234-123456789abc",
            "https://your-workspace.cloud.databricks.com",
            "ntn_your_token_here",
            "YOUR_CATALOG",
            "changeme",
            "please-change-me",
            "<token>",
            "https://<workspace>.azuredatabricks.net",
            "xxx",
            "XXXX",
            "dapixxxxxxxxxxxxxxxx",
            "ntn_xxx",
            "replace-me",
            "todo",
            "ntn_...",
            "****",
            "${NOTION_API_KEY}",
            "00000000000000000000000000000000",
            "11111111-1111-1111-1111-111111111111",
            "12345678-1234-1234-1234-123456789012",
            "0123456789abcdef0123456789abcdef",
            "1234567890abcdef",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_real_value_passes() {
        for text in [
            "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",
            "https://adb-984752964297111.11.azuredatabricks.net",
            "main",
            "bronze",
            "notion-sync/dev",
            "yourself",
            "for_yourself_only",
            "be633bf1-dfa0-436d-b259-571129a590e5",
            "00000000-0000-4000-8000-000000000001",
            "max_xx",
            "",
        ] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
