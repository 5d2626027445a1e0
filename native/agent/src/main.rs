// SPDX-License-Identifier: Apache-2.0
//! `lightvm-agent`: PID 1 of a guest; `lightvm-agent launch`: the start of one process in it;
//! `lightvm-agent pod-init` and `user-namespace`: the first processes of what containers share.

use std::process::ExitCode;

use lightvm_agent::{boot, launch, pod_init, user_namespace};

fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    match mode.as_deref() {
        Some("launch") => launch::main(),
        Some("pod-init") => pod_init::main(),
        Some("user-namespace") => user_namespace::main(),
        _ if std::process::id() == 1 => {
            let Err(error) = boot::run();
            eprintln!("lightvm-agent: {error}");
            ExitCode::FAILURE
        }
        _ => {
            eprintln!("lightvm-agent is the first process of a LightVM guest and nothing else");
            ExitCode::FAILURE
        }
    }
}
