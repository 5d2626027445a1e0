// SPDX-License-Identifier: Apache-2.0
//! lightvmd's connections: what each is for is said in its first message.
//!
//! ```text
//!   accepted ──► hello ──┬─ CONTROL ────────► messages both ways until it closes
//!                        ├─ STREAM, ATTACH ─► handed to the guest's stdio
//!                        └─ FILE ───────────► descriptor kept, one byte 0, closed
//! ```

mod control;
mod hello;

pub(crate) use control::{Control, ControlError};
pub(crate) use hello::{Greeting, Hello, HelloError};

/// One connection, by what it has said.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Nothing yet, or not all of it.
    Hello(Hello),
    /// It controls this VMM.
    Control(Control),
}
