// SPDX-License-Identifier: Apache-2.0
//! Addresses with a prefix length, as text and as bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// An address and how many of its first bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Text that is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePrefixError;

impl fmt::Display for ParsePrefixError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not an address with a prefix length")
    }
}

impl std::error::Error for ParsePrefixError {}

impl Prefix {
    /// A prefix, if the address has as many bits.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (length <= bits).then_some(Self { address, length })
    }

    /// The address, all bits of it.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of the network's name.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The kernel's number of the address's family.
    pub(crate) fn family(self) -> u8 {
        family(self.address)
    }

    /// The unspecified address of a family: a default route's destination.
    pub(crate) fn everything(family: u8) -> Option<Self> {
        match family {
            AF_INET => Self::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            AF_INET6 => Self::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            _ => None,
        }
    }
}

/// The kernel's number of an address's family.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// An address as the kernel has it.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The reverse of [`octets`]; none for another family's length.
pub(crate) fn from_octets(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, ParsePrefixError> {
        let (address, length) = text.split_once('/').ok_or(ParsePrefixError)?;
        let address = address.parse().map_err(|_| ParsePrefixError)?;
        let length = length.parse().map_err(|_| ParsePrefixError)?;
        Self::new(address, length).ok_or(ParsePrefixError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["10.88.0.2/16", "0.0.0.0/0", "fd00::2/64", "::/0"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "10.0.0.1",
            "10.0.0.1/33",
            "fd00::/129",
            "x/8",
            "10.0.0.1/-1",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }
}
