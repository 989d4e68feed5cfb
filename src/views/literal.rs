//! Foreign text inside SQL text: view texts take no parameters, so ids and comments stand in literals.

/// Longest comment, characters.
const MAX_COMMENT: usize = 900;

/// `text` as a string literal. Quotes are escaped with a backslash, since a doubled quote is read differently by two
/// versions of Spark; `${` would be replaced by a variable's value.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\'' | '\\' => quoted.extend(['\\', character]),
            '$' => quoted.push_str("\\u0024"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => quoted.push(' '),
            plain => quoted.push(plain),
        }
    }
    quoted.push('\'');
    quoted
}

/// A comment: one line of at most 900 characters.
pub(super) fn comment(text: &str) -> String {
    let line: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let line = line.trim();
    match line.char_indices().nth(MAX_COMMENT) {
        Some((end, _)) => literal(&format!("{}…", &line[..end])),
        None => literal(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_inside_its_quotes() {
        assert_eq!(literal(r"it's a \ ${x}"), r"'it\'s a \\ \u0024{x}'");
        assert_eq!(comment(" a\nb\u{7} "), "'a b'");
        assert_eq!(comment(&"é".repeat(5000)).chars().count(), MAX_COMMENT + 3);
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_its_literal_early(text in ".*") {
            let quoted = literal(&text);
            let inner = &quoted[1..quoted.len() - 1];
            let mut escaped = false;
            for character in inner.chars() {
                proptest::prop_assert!(escaped || character != '\'', "{}", quoted);
                escaped = !escaped && character == '\\';
            }
            proptest::prop_assert!(!escaped, "{}", quoted);
        }
    }
}
