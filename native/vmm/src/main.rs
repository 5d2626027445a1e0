// SPDX-License-Identifier: Apache-2.0
//! lightvm-vmm: the process that builds one pod's VM, gives up its rights, and serves it.
//!
//! In the order in which a pod meets it:
//!
//! - [`process`]: the loop; which call goes where
//! - [`connection`]: lightvmd's connections, and the [`files`] that come over them
//! - [`phase`]: what can be asked when
//! - [`prepare`]: the domain, then the [`jail`]
//! - [`load`], [`execute`]: kernel, ramdisk; then devices
//! - [`guest`]: a running guest: devices, console, agent, stdio
//! - [`logs`], [`journal`]: what is written down of it

mod clock;
mod connection;
mod execute;
mod failure;
mod files;
mod guest;
mod jail;
mod journal;
mod load;
mod logs;
mod phase;
mod poller;
mod prepare;
mod process;
mod report;
mod resident;
mod start;
#[cfg(test)]
mod test_files;

use std::process::ExitCode;

fn main() -> ExitCode {
    let started = start::inherit(std::env::args_os().skip(1));
    match started.and_then(|inheritance| process::Process::new(inheritance)?.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::line(format_args!("{}", failure::chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}
