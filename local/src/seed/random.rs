//! Choices that come out the same each time.

/// A stream of numbers that depends on its start alone (SplitMix64).
#[derive(Debug)]
pub(super) struct Choices {
    state: u64,
}

impl Choices {
    /// The stream that belongs to a text.
    pub(super) fn about(text: &str) -> Self {
        let hash = text
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
        Self { state: hash }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// One of `options`, which are never none.
    pub(super) fn one<'a, T: ?Sized>(&mut self, options: &[&'a T]) -> &'a T {
        options[self.below(options.len())]
    }

    /// Returns true `percent` times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// An id that depends on the text alone, of the form that Notion accepts.
pub(super) fn id_of(text: &str) -> String {
    let mut choices = Choices::about(text);
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&choices.next().to_be_bytes());
    bytes[8..].copy_from_slice(&choices.next().to_be_bytes());
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
