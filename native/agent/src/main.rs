// SPDX-License-Identifier: Apache-2.0
//! lightvm-agent

fn main() {}
