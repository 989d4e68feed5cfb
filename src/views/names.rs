//! Names of columns and views: snake case of what people call them, unique, never a reserved word.

use std::collections::BTreeSet;

use super::schema::sha256;

/// Longest name before its suffixes; with them it stays within 63 characters.
const MAX_BASE: usize = 44;
/// Digits of the hash that makes equal names different: as few as are enough.
const HASH_DIGITS: [usize; 5] = [4, 8, 12, 32, 64];

/// Words that SQL keeps for itself; a column of such a name would have to be quoted in every query.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asc",
    "authorization",
    "between",
    "both",
    "by",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "cube",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "delete",
    "desc",
    "distinct",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "false",
    "fetch",
    "filter",
    "for",
    "foreign",
    "from",
    "full",
    "function",
    "grant",
    "group",
    "grouping",
    "having",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "map",
    "merge",
    "minus",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "partition",
    "primary",
    "qualify",
    "references",
    "right",
    "rollup",
    "row",
    "rows",
    "select",
    "semi",
    "session_user",
    "set",
    "some",
    "struct",
    "table",
    "tablesample",
    "then",
    "time",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "unknown",
    "update",
    "user",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
    "within",
];

/// Letters without their accents; what has no such form is left out.
fn folded(character: char) -> &'static str {
    match character {
        'ä' | 'æ' => "ae",
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ö' | 'œ' => "oe",
        'ò'..='õ' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ț' | 'ŧ' => "t",
        'ü' => "ue",
        'ù'..='û' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'þ' => "th",
        'ź' | 'ż' | 'ž' => "z",
        _ => "",
    }
}

/// A name in snake case of `a-z0-9_`; empty when nothing of it is left.
pub(super) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut before_is_lower = false;
    for character in name.chars() {
        let starts_word = character.is_uppercase() && before_is_lower;
        before_is_lower = character.is_lowercase() || character.is_ascii_digit();
        if starts_word {
            snake.push('_');
        }
        for lower in character.to_lowercase() {
            match lower {
                'a'..='z' | '0'..='9' => snake.push(lower),
                // An accent that stands by itself: `İ` becomes `i` and one of these.
                '\u{300}'..='\u{36f}' => {}
                other => match folded(other) {
                    "" if other.is_alphanumeric() => {}
                    "" if snake.ends_with('_') || snake.is_empty() => {}
                    "" => snake.push('_'),
                    letters => snake.push_str(letters),
                },
            }
        }
    }
    let snake = snake.replace("__", "_");
    let cut: String = snake.chars().take(MAX_BASE).collect();
    cut.trim_matches('_').to_owned()
}

/// A base for names made of `name`, such that `is_free` for each: plain if that will do, else with a part of the hash of
/// `identity`, which is the same whenever and wherever it is computed.
pub(super) fn free_base(name: &str, fallback: &str, identity: &str, is_free: impl Fn(&str) -> bool) -> String {
    let mut base = snake_case(name);
    if base.starts_with(|first: char| first.is_ascii_digit()) {
        base.insert_str(0, "n_");
    }
    if !base.is_empty() && !RESERVED.contains(&base.as_str()) && is_free(&base) {
        return base;
    }
    if base.is_empty() {
        fallback.clone_into(&mut base);
    }
    let hash = sha256(identity);
    let mut candidates = HASH_DIGITS.iter().map(|digits| format!("{base}_{}", &hash[..*digits]));
    // 64 digits of a hash of what is unique: the last one is free whatever was before.
    candidates.clone().find(|candidate| is_free(candidate)).or_else(|| candidates.next_back()).unwrap_or(base)
}

/// Returns whether none of the names is taken.
pub(super) fn all_free<'a>(taken: &BTreeSet<String>, mut names: impl Iterator<Item = String> + 'a) -> bool {
    names.all(|name| !taken.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_snake_case() {
        let names = [
            ("Budget Lines", "budget_lines"),
            ("BudgetLines (EUR)", "budget_lines_eur"),
            ("  Größe / Maß ", "groesse_mass"),
            ("État d'avancement", "etat_d_avancement"),
            ("a`b\n\"c\".d", "a_b_c_d"),
            ("🚀", ""),
            ("   ", ""),
            ("予算", ""),
            ("İstanbul", "istanbul"),
            ("API_key", "api_key"),
        ];
        for (name, expected) in names {
            assert_eq!(snake_case(name), expected, "{name}");
        }
        assert_eq!(snake_case(&"long name ".repeat(30)).len(), MAX_BASE);
    }

    #[test]
    fn a_name_that_is_taken_reserved_or_empty_gets_a_part_of_a_hash() {
        let base = |name: &str, taken: &str| free_base(name, "property", "abcd", |free| free != taken);
        assert_eq!(base("Hours", "days"), "hours");
        assert_eq!(base("2024", "days"), "n_2024");
        let suffix = &sha256("abcd")[..4];
        assert_eq!(base("Hours", "hours"), format!("hours_{suffix}"));
        assert_eq!(base("Order", ""), format!("order_{suffix}"));
        assert_eq!(base("🚀", ""), format!("property_{suffix}"));
    }

    proptest::proptest! {
        #[test]
        fn any_name_becomes_a_plain_word_of_bounded_length(name in ".*", identity in ".{1,8}") {
            let base = free_base(&name, "property", &identity, |_| true);
            proptest::prop_assert!(base.len() <= MAX_BASE + 5, "{}", base);
            proptest::prop_assert!(base.starts_with(|c: char| c.is_ascii_lowercase()), "{}", base);
            proptest::prop_assert!(base.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{}", base);
        }
    }
}
