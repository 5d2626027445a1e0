// SPDX-License-Identifier: Apache-2.0
//! lightvm-files: serves the volumes of one pod to its guest.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use lightvm_files::{jail, serve, start, volumes};

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
    let start::Inheritance {
        mut control,
        channels,
    } = start::inherit(std::env::args_os().skip(1))?;
    jail::enter()?;
    let server = volumes::server(jail::VOLUMES)
        .map_err(|error| format!("cannot serve the volumes: {error}"))?;
    let server = Arc::new(server);
    jail::give_up()?;
    // lightvmd may mount volumes from here on.
    control.write_all(b"ready\n")?;
    Ok(serve::all(&server, channels)?)
}
