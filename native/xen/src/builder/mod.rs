// SPDX-License-Identifier: Apache-2.0
//! Building a PVH domain: [`prepare`] makes a shell that could run anything, [`load`] puts a kernel
//! into it.

mod assembly;
mod cpu_context;
mod cpu_policy;
pub(crate) mod elf;
mod layout;
pub(crate) mod load;
mod mp_table;
mod populate;
pub(crate) mod prepare;
mod start_info;
pub(crate) mod steps;
