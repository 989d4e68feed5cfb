//! Ids as Notion makes and checks them.

use uuid::Uuid;

/// Makes ids: the same ones in the same order for the same seed, so that a restarted local stack keeps its ids.
#[derive(Debug)]
pub(super) struct IdMaker {
    state: u64,
}

impl IdMaker {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next id: version 8, as the ids of recorded rows are.
    pub(super) fn next_id(&mut self) -> Uuid {
        let mut bytes = [0_u8; 16];
        bytes[..8].copy_from_slice(&self.next_number().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_number().to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The next number of the stream (SplitMix64).
    pub(super) fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scrambled(self.state)
    }
}

fn scrambled(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A number that depends on the text alone (FNV-1a, scrambled), for ids that must stay the same.
pub(super) fn number_of(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    scrambled(hash)
}

/// An id that depends on the text alone.
pub(super) fn id_of(text: &str) -> Uuid {
    IdMaker::new(number_of(text)).next_id()
}

/// Reads an id the way Notion's validation does: with or without dashes, and version and variant bits count
/// (`12345678-1234-1234-1234-123456789abc` is refused), but the all-zero and the all-one ids pass.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    let dashes_right = match text.len() {
        32 => !text.contains('-'),
        36 => [8, 13, 18, 23].iter().all(|&at| text.as_bytes()[at] == b'-'),
        _ => false,
    };
    let id = Uuid::try_parse(text).ok().filter(|_| dashes_right)?;
    let version_right = (1..=8).contains(&id.get_version_num());
    let variant_right = id.as_bytes()[8] & 0b1100_0000 == 0b1000_0000;
    (id.is_nil() || id.is_max() || (version_right && variant_right)).then_some(id)
}

/// An id without dashes, as URLs carry it.
pub(super) fn undashed(id: Uuid) -> String {
    id.simple().to_string()
}

/// Eight letters and digits, as the recorded item cursors.
pub(super) fn short_text(number: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut rest = number;
    (0..8)
        .map(|_| {
            let letter = LETTERS[usize::try_from(rest % 62).unwrap_or(0)];
            rest /= 62;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_variant_bits_count_as_in_recorded_traffic() {
        assert_eq!(parse_id("12345678-1234-1234-1234-123456789abc"), None);
        assert_eq!(parse_id("00000000-0000-0000-0000-000000000000"), Some(Uuid::nil()));
        assert!(parse_id("38c9ce7b-60a4-818f-b208-c4d66ba4a714").is_some());
        assert!(parse_id("38C9CE7B60A4818FB208C4D66BA4A714").is_some());
        assert_eq!(parse_id("not-an-id"), None);
        assert_eq!(parse_id("38c9ce7b-60a4818fb208c4d66ba4a714"), None);
    }

    #[test]
    fn made_ids_pass_the_check_and_repeat_for_the_same_seed() {
        let mut maker = IdMaker::new(1);
        let first = maker.next_id();
        assert!(parse_id(&first.to_string()).is_some());
        assert_ne!(first, maker.next_id());
        assert_eq!(first, IdMaker::new(1).next_id());
    }
}
