// SPDX-License-Identifier: Apache-2.0
//! Capabilities and limits of a file server.

use lightvm_jail::{During, JailError};
use rustix::process::Resource;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet};

/// Every file that the guest's kernel remembers is a descriptor here.
const MAX_DESCRIPTORS: u64 = 256 << 10;
/// What a guest can make this process remember, in bytes.
const MAX_DATA: u64 = 512 << 20;

/// What it takes to be root on files, and no more: no device nodes, no file capabilities.
/// CAP_DAC_READ_SEARCH is what linkat(2) wants for a file that is held by descriptor; what makes it
/// dangerous, open_by_handle_at(2), is not among the system calls that are left.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID);

/// No core dump, no child processes, bounded memory.
pub(super) fn set_limits() -> Result<(), JailError> {
    lightvm_jail::limit_resources(&[
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Data, MAX_DATA),
        (Resource::Nofile, MAX_DESCRIPTORS),
    ])
}

/// Drops all other capabilities for good.
pub(super) fn drop_others() -> Result<(), JailError> {
    // A thread that creates a file takes on the creator's ids for that moment. It must keep
    // CAP_DAC_OVERRIDE then: supplementary groups are the guest's to check, and are not known here.
    let bits = CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits).during("set the secure bits")?;
    lightvm_jail::drop_privileges(KEPT)?;
    lightvm_jail::make_final(KEPT)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_server_is_root_on_files_and_nowhere_else() {
        if !rustix::process::geteuid().is_root() {
            // Only root has something to give up; the build root runs its tests as root.
            return;
        }
        // Credentials belong to a thread.
        let dropped = std::thread::spawn(|| {
            drop_others().unwrap();
            fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let status = dropped.join().unwrap();
        // CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, FSETID 4, SETGID 6, SETUID 7.
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert!(
                status.contains(&format!("{set}:\t00000000000000df")),
                "{status}"
            );
        }
        for set in ["CapInh", "CapAmb"] {
            assert!(
                status.contains(&format!("{set}:\t0000000000000000")),
                "{status}"
            );
        }
        assert!(status.contains("NoNewPrivs:\t1"));
    }
}
