// SPDX-License-Identifier: Apache-2.0
//! Where the server is, from the words that the node puts on the command line.

use core::fmt;

use smoltcp::wire::{Ipv4Address, Ipv4Cidr};

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not `a.b.c.d/prefix`.
    Address,
    /// Not `a.b.c.d`.
    Gateway,
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Address => "ip= needs an address like 10.1.2.3/24",
            Self::Gateway => "gateway= needs an address like 10.1.2.1",
        })
    }
}

/// An IPv4 address, and the way to everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Of this host, with its network.
    pub ip: Ipv4Cidr,
    /// The default router.
    pub gateway: Option<Ipv4Address>,
}

impl Address {
    /// From `ip=` and `gateway=`; the second may be missing or empty.
    ///
    /// # Errors
    ///
    /// One of them is no address.
    pub fn parse(ip: Option<&str>, gateway: Option<&str>) -> Result<Self, AddressError> {
        let ip = ip
            .and_then(|text| text.parse().ok())
            .ok_or(AddressError::Address)?;
        let gateway = match gateway {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|_| AddressError::Gateway)?),
        };
        Ok(Self { ip, gateway })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_and_a_gateway_none() {
        let address = Address::parse(Some("10.88.0.7/16"), Some("10.88.0.1")).unwrap();
        assert_eq!(
            address.ip,
            Ipv4Cidr::new(Ipv4Address::new(10, 88, 0, 7), 16)
        );
        assert_eq!(address.gateway, Some(Ipv4Address::new(10, 88, 0, 1)));
        assert_eq!(
            Address::parse(Some("10.88.0.7/16"), Some(""))
                .unwrap()
                .gateway,
            None
        );
        assert_eq!(Address::parse(None, None), Err(AddressError::Address));
        assert_eq!(
            Address::parse(Some("10.88.0.7"), None),
            Err(AddressError::Address)
        );
        let both = Address::parse(Some("10.88.0.7/16"), Some("router"));
        assert_eq!(both, Err(AddressError::Gateway));
    }
}
