//! Gzip without compression (RFC 1952 around stored blocks): enough to exercise a client's decoder.

const MAX_BLOCK_BYTES: usize = 0xFFFF;

/// The bytes as a gzip file.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    let blocks = bytes.len().div_ceil(MAX_BLOCK_BYTES).max(1);
    for index in 0..blocks {
        let from = index * MAX_BLOCK_BYTES;
        let block = &bytes[from..bytes.len().min(from + MAX_BLOCK_BYTES)];
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        file.push(u8::from(index + 1 == blocks));
        file.extend(length.to_le_bytes());
        file.extend((!length).to_le_bytes());
        file.extend(block);
    }
    file.extend(checksum(bytes).to_le_bytes());
    // The format has 32 bits for the length and counts modulo that.
    file.extend(&(bytes.len() as u64).to_le_bytes()[..4]);
    file
}

/// CRC-32 as in RFC 1952.
fn checksum(bytes: &[u8]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|index| {
        let start = u32::try_from(index).unwrap_or_default();
        (0..8).fold(start, |value, _| if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 })
    });
    !bytes.iter().fold(u32::MAX, |value, byte| table[usize::from(value.to_le_bytes()[0] ^ byte)] ^ (value >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn long_bodies_take_several_blocks() {
        let file = gzip(&[b'x'; MAX_BLOCK_BYTES + 1]);
        assert_eq!(file.len(), 10 + 5 + MAX_BLOCK_BYTES + 5 + 1 + 8);
    }
}
