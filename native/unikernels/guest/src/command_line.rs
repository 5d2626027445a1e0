// SPDX-License-Identifier: Apache-2.0
//! `name=value` words, as Linux has them.

/// The value of the last word with this name. Words are separated by blanks; a value has none.
pub fn value<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    let words = command_line.split(' ').rev();
    words
        .filter_map(|word| word.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A number as `0x…` or in decimal.
pub(crate) fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let line = "ip=10.0.0.1/24 quiet noxs=0x1000  ip=10.0.0.2/24 ipx=1";
        assert_eq!(value(line, "ip"), Some("10.0.0.2/24"));
        assert_eq!(value(line, "quiet"), None);
        assert_eq!(value("empty=", "empty"), Some(""));
    }

    #[test]
    fn numbers_may_be_hexadecimal() {
        assert_eq!(number("0x7fe000"), Some(0x7f_e000));
        assert_eq!(number("17"), Some(17));
        assert_eq!(number("0x"), None);
    }
}
