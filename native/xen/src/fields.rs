// SPDX-License-Identifier: Apache-2.0
//! Structures as byte strings: written field by field at natural alignment, little-endian, as
//! Xen's public headers lay them out on x86-64. Version differences are then plain `if`s, and a
//! test compares sizes with the headers.

/// Builds one structure.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.aligned(2).bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.aligned(4).bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.aligned(8).bytes(&value.to_le_bytes())
    }

    /// Bytes as they are, without alignment.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Zeros up to the next multiple of `alignment`.
    pub(crate) fn aligned(self, alignment: usize) -> Self {
        let length = self.0.len().next_multiple_of(alignment);
        self.padded_to(length)
    }

    /// Zeros up to a length in bytes.
    pub(crate) fn padded_to(mut self, length: usize) -> Self {
        debug_assert!(self.0.len() <= length);
        self.0.resize(length, 0);
        self
    }

    pub(crate) fn build(self) -> Vec<u8> {
        self.0
    }
}

/// The u32 at an offset; the caller has made sure of the length.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(field)
}

/// The u64 at an offset; the caller has made sure of the length.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_at_their_natural_alignment() {
        let bytes = Fields::new().u8(1).u32(2).u16(3).u64(4).build();
        assert_eq!(bytes.len(), 24);
        assert_eq!(u32_at(&bytes, 4), 2);
        assert_eq!(u64_at(&bytes, 16), 4);
    }
}
