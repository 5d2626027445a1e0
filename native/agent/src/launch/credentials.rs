// SPDX-License-Identifier: Apache-2.0
//! Who a process is and what it may do.

use lightvm_syscalls::install_seccomp_filter;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

use super::{Launch, Owner};
use crate::error::{CallError, During};

/// Takes on the process's user and capabilities, and its seccomp filter. As with every container
/// runtime, the set is the bounding, permitted and effective one; only what is ambient is inheritable
/// too, so a user other than root keeps nothing else across execve.
pub(super) fn apply(launch: &Launch) -> Result<(), CallError> {
    let all = supported();
    let kept = match launch.privileged {
        true => all,
        false => named(&launch.process.effective_capabilities)? & all,
    };
    for capability in (all - kept).iter() {
        remove_capability_from_bounding_set(capability).during("drop a capability")?;
    }
    clear_ambient_capability_set().during("clear the ambient capabilities")?;
    let no_new_privileges = launch.process.no_new_privileges;
    if !no_new_privileges {
        // Later the capability that this takes may be gone: the profile must allow what follows.
        filter(launch)?;
    }
    // Changing the user would take the capabilities away before they are chosen.
    set_keep_capabilities(true).during("keep capabilities")?;
    let groups: Vec<Gid> = launch.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).during("set the groups")?;
    let gid = Gid::from_raw(launch.gid);
    setresgid(gid, gid, gid).during(format_args!("become group {gid}"))?;
    let uid = Uid::from_raw(launch.uid);
    setresuid(uid, uid, uid).during(format_args!("become user {uid}"))?;
    let ambient = named(&launch.process.ambient_capabilities)? & kept;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: ambient,
    };
    set_capabilities(None, sets).during("set the capabilities")?;
    for capability in ambient.iter() {
        configure_capability_in_ambient_set(capability, true)
            .during("make a capability ambient")?;
    }
    if no_new_privileges {
        set_no_new_privs(true).during("forbid new privileges")?;
        filter(launch)?;
    }
    Ok(())
}

fn filter(launch: &Launch) -> Result<(), CallError> {
    match launch.seccomp_filter.as_slice() {
        [] => Ok(()),
        program => install_seccomp_filter(program).during("install the seccomp filter"),
    }
}

/// Lets files belong to whom root is in the pod, while everything else is done as the guest's root.
/// That takes capabilities away, which come back at once.
pub(super) fn create_files_as(owner: Owner) -> Result<(), CallError> {
    // Neither call can say that it failed; what they lead to would.
    setfsgid(Gid::from_raw(owner.gid));
    setfsuid(Uid::from_raw(owner.uid));
    let sets = capabilities(None).during("read the capabilities")?;
    let effective = CapabilitySets {
        effective: sets.permitted,
        ..sets
    };
    set_capabilities(None, effective).during("keep the capabilities")
}

/// What this kernel knows.
fn supported() -> CapabilitySet {
    (0..u64::BITS)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        .take_while(|one| !matches!(capability_is_in_bounding_set(*one), Err(Errno::INVAL)))
        .collect()
}

/// The set of "CAP_…" names.
fn named(names: &[String]) -> Result<CapabilitySet, CallError> {
    names
        .iter()
        .map(|name| {
            let constant = name.strip_prefix("CAP_").unwrap_or(name);
            CapabilitySet::from_name(constant)
                .ok_or_else(|| CallError::invalid(format!("there is no capability {name}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_a_set() {
        let names = ["CAP_KILL".to_owned(), "CAP_NET_BIND_SERVICE".to_owned()];
        let expected = CapabilitySet::KILL | CapabilitySet::NET_BIND_SERVICE;
        assert_eq!(named(&names), Ok(expected));
        assert_eq!(named(&[]), Ok(CapabilitySet::empty()));
        assert!(
            named(&["CAP_MAGIC".to_owned()])
                .unwrap_err()
                .message
                .contains("CAP_MAGIC")
        );
    }

    #[test]
    fn the_kernel_knows_some() {
        assert!(supported().contains(CapabilitySet::CHOWN | CapabilitySet::SYS_ADMIN));
    }
}
