//! Splits SQL text into tokens, so that markers and clauses are found outside strings, comments and quoted names.

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bare word: keyword, name or number.
    Word,
    /// A name in backticks.
    QuotedName,
    /// A string literal in `'` or `"`, raw ones with their `r`.
    Text,
    /// A named parameter marker, `:name`.
    Marker,
    /// Any other single character, and `::`.
    Symbol,
}

/// One token with its place in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Token<'a> {
    /// The byte after the token.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Returns whether this is the keyword `word`, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Returns whether this is the symbol `symbol`.
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// The marker's name without its colon.
    pub(super) fn marker_name(&self) -> Option<&'a str> {
        (self.kind == TokenKind::Marker).then(|| &self.text[1..])
    }

    /// The name a word or a quoted name stands for.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_owned()),
            TokenKind::QuotedName => {
                let inner = self.text.strip_prefix('`').unwrap_or(self.text);
                Some(inner.strip_suffix('`').unwrap_or(inner).replace("``", "`"))
            }
            _ => None,
        }
    }

    /// The value of a plain string literal. Escapes other than of quotes and backslashes stand for themselves.
    pub(super) fn text_value(&self) -> Option<String> {
        if self.kind != TokenKind::Text || self.text.starts_with(['r', 'R']) {
            return None;
        }
        let inner = self.text.get(1..self.text.len().checked_sub(1)?)?;
        let mut value = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            if character == '\\' {
                value.extend(characters.next());
            } else {
                value.push(character);
            }
        }
        Some(value)
    }
}

/// The tokens of `sql`; white space and comments are left out.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if let Some(end) = blank_end(bytes, at) {
            at = end;
            continue;
        }
        let (kind, end) = token_at(bytes, at);
        found.push(Token { kind, text: &sql[at..end], start: at });
        at = end;
    }
    found
}

/// The end of the white space or comment that starts at `at`.
fn blank_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    if rest[0].is_ascii_whitespace() {
        Some(at + 1)
    } else if rest.starts_with(b"--") {
        Some(rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length + 1))
    } else if rest.starts_with(b"/*") {
        Some(rest.windows(2).skip(2).position(|pair| pair == b"*/").map_or(bytes.len(), |length| at + length + 4))
    } else {
        None
    }
}

fn token_at(bytes: &[u8], at: usize) -> (TokenKind, usize) {
    let next = bytes.get(at + 1).copied();
    match bytes[at] {
        b'r' | b'R' if matches!(next, Some(b'\'' | b'"')) && !follows_word(bytes, at) => {
            (TokenKind::Text, quoted_end(bytes, at + 1, false))
        }
        b'\'' | b'"' => (TokenKind::Text, quoted_end(bytes, at, true)),
        b'`' => (TokenKind::QuotedName, quoted_end(bytes, at, false)),
        b':' if next == Some(b':') => (TokenKind::Symbol, at + 2),
        // `column:path` is a path into a VARIANT, not a marker.
        b':' if next.is_some_and(starts_name) && !follows_value(bytes, at) => {
            (TokenKind::Marker, word_end(bytes, at + 1))
        }
        byte if is_word(byte) => (TokenKind::Word, word_end(bytes, at)),
        _ => (TokenKind::Symbol, at + 1),
    }
}

/// The byte after the closing quote.
fn quoted_end(bytes: &[u8], at: usize, escapes: bool) -> usize {
    let quote = bytes[at];
    let mut position = at + 1;
    while position < bytes.len() {
        let byte = bytes[position];
        let doubled = byte == b'`' && quote == b'`' && bytes.get(position + 1) == Some(&quote);
        if doubled || (byte == b'\\' && escapes) {
            position += 2;
        } else if byte == quote {
            return position + 1;
        } else {
            position += 1;
        }
    }
    bytes.len()
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| !is_word(*byte)).map_or(bytes.len(), |length| at + length)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

fn follows_value(bytes: &[u8], at: usize) -> bool {
    at > 0 && (is_word(bytes[at - 1]) || matches!(bytes[at - 1], b')' | b']' | b'`' | b'\'' | b'"' | b':'))
}

/// `name` in backticks.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `text` as a string literal.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The dotted name that starts at token `at`, and the index of the token after it.
pub(super) fn dotted_name(tokens: &[Token<'_>], at: usize) -> Option<(Vec<String>, usize)> {
    let mut parts = vec![tokens.get(at)?.name()?];
    let mut next = at + 1;
    while tokens.get(next).is_some_and(|token| token.is_symbol(".")) {
        parts.push(tokens.get(next + 1)?.name()?);
        next += 2;
    }
    Some((parts, next))
}

/// The index of the `)` that closes the `(` at token `open`.
pub(super) fn closing(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    tokens.get(open).filter(|token| token.is_symbol("("))?;
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers(sql: &str) -> Vec<&str> {
        tokens(sql).iter().filter_map(Token::marker_name).collect()
    }

    #[test]
    fn markers_stand_outside_strings_comments_and_quoted_names() {
        let sql = "SELECT ':a', \":b\", `:c`, -- :d\n /* :e '*/ :f, r'\\', :g, 'it\\'s :h', x::INT, '' ':i', :j";
        assert_eq!(markers(sql), ["f", "g", "j"]);
    }

    #[test]
    fn a_path_into_a_variant_is_no_marker() {
        assert_eq!(markers("SELECT v:a.b, f(x):c, `v`:d, (:e), a=:f"), ["e", "f"]);
    }

    #[test]
    fn quoted_names_keep_their_backticks() {
        let found = tokens("SELECT * FROM `a``b`.c");
        assert_eq!(dotted_name(&found, 3).unwrap().0, ["a`b", "c"]);
        assert_eq!(quoted_name("a`b"), "`a``b`");
    }

    #[test]
    fn unfinished_text_ends_with_the_statement() {
        assert_eq!(tokens("SELECT 'a\\").last().unwrap().text, "'a\\");
        assert_eq!(tokens("SELECT /* a").len(), 1);
    }
}
