// SPDX-License-Identifier: Apache-2.0
//! Work on other threads, and errors on their way to JavaScript.

use std::error::Error;

use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, Task};

/// Work for a thread of Node's pool.
type Job<T> = Box<dyn FnOnce() -> napi::Result<T> + Send>;

/// A job as Node wants it.
pub struct Work<T>(Option<Job<T>>);

/// Runs `job` on a thread of Node's pool.
pub(crate) fn promise<T: ToNapiValue + TypeName + Send + 'static>(
    job: impl FnOnce() -> napi::Result<T> + Send + 'static,
) -> AsyncTask<Work<T>> {
    AsyncTask::new(Work(Some(Box::new(job))))
}

impl<T: ToNapiValue + TypeName + Send + 'static> Task for Work<T> {
    type Output = T;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<T> {
        let twice = || Err(napi::Error::from_reason("a job is done once"));
        self.0.take().map_or_else(twice, |job| job())
    }

    fn resolve(&mut self, _env: Env, value: T) -> napi::Result<T> {
        Ok(value)
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
