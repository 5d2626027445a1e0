// SPDX-License-Identifier: Apache-2.0
//! What `src/shared/native-process-starter.ts` needs and Node does not have.

use std::os::fd::IntoRawFd;

use napi_derive::napi;

use crate::reap::{self, Exit};
use crate::spawn;
use crate::task::failure;

/// A child that is spoken with over a socket, which the caller closes.
#[napi(object)]
pub struct StartedServer {
    /// Its number.
    pub pid: i32,
    /// Our end of its descriptor 3.
    pub control: i32,
}

/// A child that is spoken with over pipes, which the caller closes.
#[napi(object)]
pub struct StartedFilter {
    /// Its number.
    pub pid: i32,
    /// Where what it reads is written.
    pub stdin: i32,
    /// Where what it writes is read,
    pub stdout: i32,
    /// and what it complains about.
    pub stderr: i32,
}

/// How a child has ended: one of the two.
#[napi(object)]
pub struct ProcessExit {
    /// What it gave to exit(2).
    pub exit_code: Option<i32>,
    /// What ended it, for example "SIGKILL".
    pub signal: Option<String>,
}

/// See [`spawn::start_server`].
#[napi]
pub fn start_server(
    program: String,
    arguments: Vec<String>,
    log: i32,
    more: Vec<i32>,
) -> napi::Result<StartedServer> {
    let (pid, control) = spawn::start_server(program, arguments, log, &more).map_err(failure)?;
    Ok(StartedServer {
        pid: pid.as_raw(),
        control: control.into_raw_fd(),
    })
}

/// See [`spawn::start_filter`].
#[napi]
pub fn start_filter(program: String, environment: Vec<String>) -> napi::Result<StartedFilter> {
    let (pid, pipes) = spawn::start_filter(program, environment).map_err(failure)?;
    Ok(StartedFilter {
        pid: pid.as_raw(),
        stdin: pipes.input.into_raw_fd(),
        stdout: pipes.output.into_raw_fd(),
        stderr: pipes.errors.into_raw_fd(),
    })
}

/// How a child has ended; undefined while it runs. Asked until it is answered, as the kernel keeps the
/// answer for its parent; a process that is none of ours, or not any more, ends with nothing.
#[napi]
pub fn reap_process(pid: i32) -> napi::Result<Option<ProcessExit>> {
    let exit = reap::reap(pid).map_err(failure)?;
    Ok(exit.map(|exit| {
        let (exit_code, signal) = match exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(name) => (None, Some(name)),
            Exit::Unknown => (None, None),
        };
        ProcessExit { exit_code, signal }
    }))
}
