// SPDX-License-Identifier: Apache-2.0
//! The daytime service over TCP (RFC 867), on any network device: whoever connects to port 13 gets a
//! line with the time, and that is all.
#![no_std]

mod address;
mod calendar;
mod server;

pub use address::{Address, AddressError};
pub use calendar::DayTime;
pub use server::{Buffers, SOCKETS, Server};
