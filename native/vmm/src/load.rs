// SPDX-License-Identifier: Apache-2.0
//! What of the second half does not depend on the pod: kernel and ramdisk in place. Memory writes
//! only.

use std::fs::File;

use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::{Load, Loaded};
use lightvm_xen::{LoadError, LoadedKernel};

use crate::failure::{Refusal, chain, wrong_phase};
use crate::files::HandedFiles;
use crate::prepare::{Shell, breakdown};

/// What has been put into a shell for the guest that it will become.
#[derive(Debug)]
pub(crate) struct Cargo {
    pub(crate) kernel: LoadedKernel,
    pub(crate) boot_log: Option<File>,
    pub(crate) journal: Option<File>,
}

impl Shell {
    /// Loads the shell, once. After a refusal its memory holds nobody knows what: it is of use for
    /// another attempt only.
    pub(crate) fn load(
        &mut self,
        request: &Load,
        files: &mut HandedFiles,
    ) -> Result<Loaded, Refusal> {
        if self.is_loaded() {
            return Err(wrong_phase("a kernel is loaded already"));
        }
        let kernel = files.take(request.kernel_file)?;
        let ramdisk = files.take_optional(request.ramdisk_file)?;
        let boot_log = files.take_optional(request.boot_log_file)?;
        let journal = files.take_optional(request.journal_file)?;
        let loaded = self.domain().load(&kernel, ramdisk.as_ref());
        let (kernel, steps) = loaded.map_err(|error| refuse(&error))?;
        self.put(Cargo {
            kernel,
            boot_log,
            journal,
        });
        Ok(Loaded {
            breakdown: Some(breakdown(&steps)),
        })
    }
}

/// A load that failed, as lightvmd is told of it.
pub(crate) fn refuse(error: &LoadError) -> Refusal {
    let code = match error {
        LoadError::Kernel(_) | LoadError::RamdiskTooLarge { .. } => Code::BadKernel,
        LoadError::CommandLine => Code::Invalid,
        LoadError::Read { .. } | LoadError::Memory(_) => Code::Internal,
    };
    Refusal::new(code, chain(error))
}
