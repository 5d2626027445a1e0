// SPDX-License-Identifier: Apache-2.0
//! What `src/vmm/vmm-files.ts` needs and Node does not have.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Buffer};
use napi_derive::napi;

use crate::handover::hand_over;
use crate::task::{Work, failure, promise};

/// Connects to `socket_path`, sends `hello` with a copy of descriptor `fd` on its first byte, and
/// waits until the other side has answered with a byte 0.
#[napi(ts_return_type = "Promise<void>")]
pub fn send_file(
    socket_path: String,
    hello: Buffer,
    fd: i32,
    timeout_milliseconds: u32,
) -> napi::Result<AsyncTask<Work<()>>> {
    if fd < 0 {
        return Err(napi::Error::from_reason(format!(
            "{fd} is not a file descriptor"
        )));
    }
    // SAFETY: the caller has `fd` open during this call, and nothing of it is kept but a copy. If
    // it is not open, copying fails.
    let file = unsafe { BorrowedFd::borrow_raw(fd) }
        .try_clone_to_owned()
        .map_err(failure)?;
    let path = PathBuf::from(socket_path);
    let hello = hello.to_vec();
    let timeout = Duration::from_millis(timeout_milliseconds.into());
    Ok(promise(move || {
        hand_over(&path, &hello, &file, timeout).map_err(failure)
    }))
}
