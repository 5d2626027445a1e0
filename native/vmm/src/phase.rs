// SPDX-License-Identifier: Apache-2.0
//! The life of a VMM, one type a phase: what a phase does not allow has no method there.
//!
//! ```text
//!             prepare            execute          agent's hello
//!   Started ──────────► Shell ──────────► Guest ───────────────► Guest (ready)
//!                        │  ▲               │ poweroff, panic, …      │
//!                        └──┘ load, once    └────────► Ended ◄────────┘
//! ```

use lightvm_protocol::agent::{Hello, ProcessExited};
use lightvm_protocol::vmm::failure::Code;
use lightvm_protocol::vmm::{GuestEnd, State, state};

use crate::failure::{Refusal, wrong_phase};
use crate::guest::Guest;
use crate::prepare::Shell;

/// Where this VMM is in its life.
pub(crate) enum Phase {
    /// The process runs, there is no domain.
    Started,
    /// The domain is built, a kernel may be loaded, all rights are given up.
    Prepared(Shell),
    /// The guest is loaded; it waits to be unpaused, boots or runs.
    Running(Box<Guest>),
    /// The guest is gone for good.
    Ended(Ended),
}

/// What is known of a guest that is gone.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) domid: u16,
    pub(crate) agent: Option<Hello>,
    pub(crate) end: GuestEnd,
    pub(crate) exits: Vec<ProcessExited>,
}

impl Phase {
    /// The state for lightvmd, without this process's memory.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Started => State {
                phase: state::Phase::Started.into(),
                ..State::default()
            },
            Self::Prepared(shell) => State {
                phase: if shell.is_loaded() {
                    state::Phase::Loaded.into()
                } else {
                    state::Phase::Prepared.into()
                },
                domid: shell.domid().into(),
                ..State::default()
            },
            Self::Running(guest) => guest.state(),
            Self::Ended(ended) => State {
                phase: state::Phase::Ended.into(),
                domid: ended.domid.into(),
                agent: ended.agent.clone(),
                end: Some(ended.end.clone()),
                exits: ended.exits.clone(),
                ..State::default()
            },
        }
    }

    /// The guest, for a call that needs one.
    pub(crate) fn guest(&mut self) -> Result<&mut Guest, Refusal> {
        match self {
            Self::Running(guest) => Ok(guest),
            Self::Started => Err(wrong_phase("there is no domain yet")),
            Self::Prepared(_) => Err(wrong_phase("the guest has not been executed yet")),
            Self::Ended(ended) => {
                let message = format!("the guest has ended: {}", ended.end.message);
                Err(Refusal::new(Code::GuestGone, message))
            }
        }
    }

    /// Why this phase can't be prepared, loaded or executed.
    pub(crate) fn refuse_transition(&self) -> Refusal {
        match self {
            Self::Started => wrong_phase("there is no domain yet"),
            Self::Prepared(_) => wrong_phase("the domain is prepared already"),
            Self::Running(_) => wrong_phase("the guest is loaded already"),
            Self::Ended(_) => Refusal::new(Code::GuestGone, "the guest has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Phase {
        let end = GuestEnd {
            message: "it panicked".into(),
            ..GuestEnd::default()
        };
        Phase::Ended(Ended {
            domid: 5,
            agent: None,
            end,
            exits: vec![ProcessExited::default()],
        })
    }

    #[test]
    fn a_guest_that_is_not_there_cannot_be_asked() {
        let refusal = Phase::Started.guest().err().unwrap();
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        let refusal = ended().guest().err().unwrap();
        assert_eq!(refusal.code(), Code::GuestGone);
        assert!(refusal.message().ends_with("it panicked"));
    }

    #[test]
    fn what_is_known_of_a_guest_outlives_it() {
        let state = ended().state();
        assert_eq!(state.phase(), state::Phase::Ended);
        assert_eq!((state.domid, state.exits.len()), (5, 1));
        assert_eq!(Phase::Started.state().phase(), state::Phase::Started);
    }
}
