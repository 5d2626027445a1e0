// SPDX-License-Identifier: Apache-2.0
//! What `src/vmm/vmm-files.ts` needs and Node does not have.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Buffer};
use napi_derive::napi;

use crate::handover::hand_over;
use crate::task::{Work, failure, promise};

/// Connects to `socket_path`, sends `hello` with copies of the descriptors `fds` on its first byte,
/// and waits until the other side has answered with a byte 0.
#[napi(ts_return_type = "Promise<void>")]
pub fn send_files(
    socket_path: String,
    hello: Buffer,
    fds: Vec<i32>,
    timeout_milliseconds: u32,
) -> napi::Result<AsyncTask<Work<()>>> {
    let files = fds
        .into_iter()
        .map(copy_of)
        .collect::<Result<Vec<_>, _>>()?;
    let path = PathBuf::from(socket_path);
    let hello = hello.to_vec();
    let timeout = Duration::from_millis(timeout_milliseconds.into());
    Ok(promise(move || {
        hand_over(&path, &hello, &files, timeout).map_err(failure)
    }))
}

fn copy_of(fd: i32) -> napi::Result<OwnedFd> {
    if fd < 0 {
        let message = format!("{fd} is not a file descriptor");
        return Err(napi::Error::from_reason(message));
    }
    // SAFETY: the caller has `fd` open during its call, and nothing of it is kept but a copy. If
    // it is not open, copying fails.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    file.try_clone_to_owned().map_err(failure)
}
