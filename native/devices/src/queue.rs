// SPDX-License-Identifier: Apache-2.0
//! Virtqueues of a running device.

/// The virtqueues of one running device.
pub struct Queues;

/// One descriptor chain, walked and checked.
pub struct Chain;
