// SPDX-License-Identifier: Apache-2.0
//! Capabilities, groups and limits.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::{During, JailError};

/// Sets each resource to its limit, or to what this process has been given if that is less: more
/// would take CAP_SYS_RESOURCE.
///
/// # Errors
///
/// The kernel's.
pub fn limit_resources(limits: &[(Resource, u64)]) -> Result<(), JailError> {
    for &(resource, limit) in limits {
        let given = rustix::process::getrlimit(resource).maximum;
        let limit = Some(given.map_or(limit, |given| given.min(limit)));
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        rustix::process::setrlimit(resource, limit).during("set the resource limits")?;
    }
    Ok(())
}

/// Takes away the groups, and the ways to get a capability that is not among `kept`. The calling
/// thread still has those that it has: changing its user takes one.
///
/// # Errors
///
/// The kernel's.
pub fn drop_privileges(kept: CapabilitySet) -> Result<(), JailError> {
    for capability in CapabilitySet::all().difference(kept).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // EINVAL: this kernel is older than the capability.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(JailError::new("drop the bounding set", error)),
        }
    }
    rustix::thread::clear_ambient_capability_set().during("clear the ambient capabilities")?;
    rustix::thread::set_thread_groups(&[]).during("drop the groups")
}

/// Leaves the calling thread the capabilities `kept` and no others, for good, and its memory to
/// nobody who is not root.
///
/// # Errors
///
/// The kernel's.
pub fn make_final(kept: CapabilitySet) -> Result<(), JailError> {
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).during("drop the capabilities")?;
    rustix::thread::set_no_new_privs(true).during("set no_new_privs")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during("become undumpable")
}
