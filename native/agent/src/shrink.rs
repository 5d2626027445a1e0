// SPDX-License-Identifier: Apache-2.0
//! What a guest that was booted larger than its pod gives up. Xen holds it to that as well.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::boot;
use crate::error::{CallError, During};

/// Memory that has not come yet never will. The kernel does it as a whole or not at all
/// (native/driver/noxs_memory.c, whose parameter `forgo` is).
pub(crate) fn forgo_memory(forgo: &Path, bytes: u64) -> Result<(), CallError> {
    let outcome = fs::write(forgo, bytes.to_string());
    match outcome.as_ref().map_err(io::Error::raw_os_error) {
        Err(Some(nix::libc::EINVAL)) => Err(CallError::invalid(format!(
            "{bytes} bytes are not a number of pages"
        ))),
        Err(Some(nix::libc::ENOSPC)) => Err(CallError::precondition(format!(
            "less than {bytes} bytes of the guest's memory are still to come"
        ))),
        _ => outcome
            .during("forgo memory")
            .and_then(|()| boot::halve_memory_for_files()),
    }
}

/// All processors but the first `left` go offline. `directory` has one folder for each of them, as
/// /sys/devices/system/cpu does.
pub(crate) fn forgo_processors(directory: &Path, left: u32) -> Result<(), CallError> {
    if left == 0 {
        return Err(CallError::invalid("a guest without a processor"));
    }
    for number in (left..).take_while(|number| folder(directory, *number).exists()) {
        fs::write(folder(directory, number).join("online"), "0")
            .during(format_args!("switch processor {number} off"))?;
    }
    Ok(())
}

fn folder(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("cpu{number}"))
}

#[cfg(test)]
mod tests {
    use lightvm_protocol::agent::failure::Code;

    use super::*;

    #[test]
    fn the_first_processors_stay() {
        let directory = std::env::temp_dir().join(format!("lightvm-cpus-{}", std::process::id()));
        for number in 0..4 {
            fs::create_dir_all(folder(&directory, number)).unwrap();
            fs::write(folder(&directory, number).join("online"), "1").unwrap();
        }
        let online = || {
            (0..4)
                .map(|number| {
                    fs::read_to_string(folder(&directory, number).join("online")).unwrap()
                })
                .collect::<String>()
        };
        let refused = forgo_processors(&directory, 0).unwrap_err();
        assert_eq!((refused.code, online().as_str()), (Code::Invalid, "1111"));
        forgo_processors(&directory, 4).unwrap();
        assert_eq!(online(), "1111");
        forgo_processors(&directory, 2).unwrap();
        assert_eq!(online(), "1100");
        fs::remove_dir_all(&directory).unwrap();
    }
}
