// SPDX-License-Identifier: Apache-2.0
//! lightvm-files: serves the volumes of one pod to its guest.
//!
//! lightvmd mounts each volume below one directory of this process's own mount namespace, the guest
//! mounts that directory as a virtio-fs file system, and this process stands between: it gets FUSE
//! messages from the VMM and does what they ask on files. It sees no guest memory; the VMM sees no
//! files.
//!
//! - [`start`]: what it is started with
//! - [`jail`]: how it loses everything but the volumes
//! - [`volumes`]: what the guest can see of them
//! - [`serve`]: one thread a channel, one message after the other

mod jail;
mod serve;
mod start;
mod volumes;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lightvm-files: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until the VMM has closed its ends of the channels.
fn run() -> Result<(), Box<dyn Error>> {
    let channels = start::inherit(std::env::args_os().skip(1))?;
    jail::enter()?;
    let server = volumes::server().map_err(|error| format!("cannot serve the volumes: {error}"))?;
    let server = Arc::new(server);
    jail::give_up()?;
    // lightvmd may mount volumes from here on.
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready").and_then(|()| stdout.flush())?;
    Ok(serve::all(&server, channels)?)
}
