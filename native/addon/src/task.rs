// SPDX-License-Identifier: Apache-2.0
//! Work on other threads, and errors on their way to JavaScript.

use std::error::Error;

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, JsUndefined, Task};

/// Work for a thread of Node's pool; its promise has no value.
type Job = Box<dyn FnOnce() -> napi::Result<()> + Send>;

/// A job as Node wants it.
pub struct Work(Option<Job>);

/// Runs `job` on a thread of Node's pool.
pub(crate) fn promise(job: impl FnOnce() -> napi::Result<()> + Send + 'static) -> AsyncTask<Work> {
    AsyncTask::new(Work(Some(Box::new(job))))
}

impl Task for Work {
    type Output = ();
    type JsValue = JsUndefined;

    fn compute(&mut self) -> napi::Result<()> {
        self.0.take().map_or(Ok(()), |job| job())
    }

    fn resolve(&mut self, env: Env, (): ()) -> napi::Result<JsUndefined> {
        env.get_undefined()
    }
}

/// The whole chain of causes in one line: JavaScript gets one message.
pub(crate) fn failure(error: impl Error) -> napi::Error {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    napi::Error::from_reason(message)
}
