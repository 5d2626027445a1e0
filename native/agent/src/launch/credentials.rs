// SPDX-License-Identifier: Apache-2.0
//! Who a process is and what it may do.

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

use super::Launch;
use crate::error::{CallError, During};

/// Takes on the process's user and capabilities. As with every container runtime, the set is the
/// bounding, permitted and effective one; nothing is inheritable or ambient, so a user other than
/// root keeps none of it across execve.
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
    // Changing the user would take the capabilities away before they are chosen.
    set_keep_capabilities(true).during("keep capabilities")?;
    let groups: Vec<Gid> = launch.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).during("set the groups")?;
    let gid = Gid::from_raw(launch.gid);
    setresgid(gid, gid, gid).during(format_args!("become group {gid}"))?;
    let uid = Uid::from_raw(launch.uid);
    setresuid(uid, uid, uid).during(format_args!("become user {uid}"))?;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).during("set the capabilities")?;
    if launch.process.no_new_privileges {
        set_no_new_privs(true).during("forbid new privileges")?;
    }
    Ok(())
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
