// SPDX-License-Identifier: Apache-2.0
//! The first half of a create: the domain, and then the end of all privileges.

use std::rc::Rc;
use std::time::Instant;

use lightvm_jail::JailError;
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::{Breakdown, Prepare, Prepared, breakdown};
use lightvm_xen::{BuildError, Hypervisor, PrepareOptions, PreparedDomain, Step, XenError};

use crate::failure::{Refusal, chain, invalid};
use crate::jail::Jail;
use crate::load::Cargo;

/// Longest name of a domain, in bytes.
const MAX_NAME: usize = 64;

/// A domain without a guest.
pub(crate) struct Shell {
    domain: Rc<PreparedDomain>,
    cargo: Option<Cargo>,
}

/// Why there is no shell.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing was made; this process is as it was.
    Refused(Refusal),
    /// The domain was destroyed again, but this process has lost some of its rights.
    Jail(JailError),
}

impl From<Refusal> for PrepareError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Shell {
    /// Builds the domain and gives up everything that building it took.
    ///
    /// The order is that of what the next step needs: the jail's directory while paths can be
    /// followed, the restriction while a failure can still destroy the domain, the system calls
    /// last.
    pub(crate) fn prepare(request: &Prepare) -> Result<(Self, Prepared), PrepareError> {
        let options = check(request)?;
        let jail = Jail::new(
            &request.jail_directory,
            request.run_as_uid,
            request.run_as_gid,
        )?;
        let began = Instant::now();
        let hypervisor = Hypervisor::open().map_err(|error| no_xen(&error))?;
        let mut steps = vec![step_since("open Xen", began)];
        let mut domain =
            PreparedDomain::prepare(&hypervisor, &options).map_err(|error| refuse(&error))?;
        drop(hypervisor);
        steps.extend(domain.steps().iter().map(wire_step));
        let began = Instant::now();
        jail.enter().map_err(PrepareError::Jail)?;
        domain.restrict().map_err(|error| {
            PrepareError::Jail(JailError::new("restrict Xen's devices", chain(&error)))
        })?;
        Jail::lock().map_err(PrepareError::Jail)?;
        steps.push(step_since("enter the jail", began));
        let prepared = Prepared {
            domid: domain.domid().into(),
            breakdown: Some(Breakdown { steps }),
        };
        Ok((
            Self {
                domain: Rc::new(domain),
                cargo: None,
            },
            prepared,
        ))
    }

    /// Xen's number of the domain.
    pub(crate) fn domid(&self) -> u16 {
        self.domain.domid()
    }

    /// The domain.
    pub(crate) fn domain(&self) -> &Rc<PreparedDomain> {
        &self.domain
    }

    /// What has been loaded.
    pub(crate) fn cargo(&mut self) -> Option<&mut Cargo> {
        self.cargo.as_mut()
    }

    /// Whether a kernel is in place.
    pub(crate) fn is_loaded(&self) -> bool {
        self.cargo.is_some()
    }

    /// A kernel is in place.
    pub(crate) fn put(&mut self, cargo: Cargo) {
        self.cargo = Some(cargo);
    }
}

/// Steps as lightvmd reads them.
pub(crate) fn breakdown(steps: &[Step]) -> Breakdown {
    Breakdown {
        steps: steps.iter().map(wire_step).collect(),
    }
}

/// A step of this process's own that has just ended.
pub(crate) fn step_since(name: &str, began: Instant) -> breakdown::Step {
    breakdown::Step {
        name: name.into(),
        nanoseconds: u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        ..breakdown::Step::default()
    }
}

/// One step as lightvmd reads it.
pub(crate) fn wire_step(step: &Step) -> breakdown::Step {
    breakdown::Step {
        name: step.name.into(),
        nanoseconds: step.nanoseconds,
        hypercalls: step.hypercalls,
        bytes_copied: step.bytes_copied,
    }
}

fn check(request: &Prepare) -> Result<PrepareOptions, Refusal> {
    let Ok(uuid) = <[u8; 16]>::try_from(request.uuid.as_slice()) else {
        return Err(invalid(format!(
            "a domain handle of {} bytes, not 16",
            request.uuid.len()
        )));
    };
    if request.name.len() > MAX_NAME {
        return Err(invalid(format!("a name of more than {MAX_NAME} bytes")));
    }
    Ok(PrepareOptions {
        uuid,
        vcpus: request.vcpus,
        memory_bytes: request.memory_bytes,
        initial_bytes: match request.initial_memory_bytes {
            0 => request.memory_bytes,
            initial => initial,
        },
        device_slots: request.device_slots,
    })
}

fn no_xen(error: &XenError) -> Refusal {
    Refusal::new(Code::NoXen, chain(error))
}

fn refuse(error: &BuildError) -> Refusal {
    let code = match error {
        BuildError::Invalid(_) => Code::Invalid,
        BuildError::NoMemory { .. } => Code::NoMemory,
        BuildError::Step {
            source: XenError::UnknownInterface(_),
            ..
        } => Code::NoXen,
        BuildError::Step { .. } | BuildError::Layout => Code::Internal,
    };
    Refusal::new(code, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handle_has_16_bytes_and_the_name_64_at_most() {
        let good = Prepare {
            uuid: vec![7; 16],
            vcpus: 1,
            ..Prepare::default()
        };
        assert_eq!(check(&good).unwrap().uuid, [7; 16]);
        assert!(
            check(&Prepare {
                uuid: vec![7; 15],
                ..good.clone()
            })
            .is_err()
        );
        assert!(
            check(&Prepare {
                name: "n".repeat(65),
                ..good
            })
            .is_err()
        );
    }

    #[test]
    fn nothing_is_built_without_a_jail() {
        let request = Prepare {
            uuid: vec![0; 16],
            vcpus: 1,
            ..Prepare::default()
        };
        let Err(PrepareError::Refused(refusal)) = Shell::prepare(&request) else {
            panic!()
        };
        assert_eq!(refusal.code(), Code::Invalid);
    }
}
