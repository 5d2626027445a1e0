// SPDX-License-Identifier: Apache-2.0
use std::time::Instant;

/// One step of building a domain, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took.
    pub nanoseconds: u64,
    /// Requests made of Xen.
    pub hypercalls: u32,
    /// Bytes written to guest memory.
    pub bytes_copied: u64,
}

/// Notes the steps as they end.
#[derive(Debug)]
pub(crate) struct StepRecorder {
    steps: Vec<Step>,
    began: Instant,
    hypercalls: u32,
}

impl StepRecorder {
    /// Starts the clock, with the count of hypercalls as it stands.
    pub(crate) fn start(hypercalls: u32) -> Self {
        Self {
            steps: Vec::new(),
            began: Instant::now(),
            hypercalls,
        }
    }

    /// Notes what has happened since the last step, and tells it.
    pub(crate) fn done(&mut self, name: &'static str, hypercalls: u32, bytes_copied: u64) -> Step {
        let now = Instant::now();
        let nanoseconds = u64::try_from((now - self.began).as_nanos()).unwrap_or(u64::MAX);
        let step = Step {
            name,
            nanoseconds,
            hypercalls: hypercalls.wrapping_sub(self.hypercalls),
            bytes_copied,
        };
        self.steps.push(step.clone());
        self.began = now;
        self.hypercalls = hypercalls;
        step
    }

    pub(crate) fn finish(self) -> Vec<Step> {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_costs_what_happened_since_the_one_before() {
        let mut recorder = StepRecorder::start(10);
        recorder.done("first", 12, 0);
        recorder.done("second", 15, 7);
        let steps = recorder.finish();
        assert_eq!(
            (steps[0].name, steps[0].hypercalls, steps[0].bytes_copied),
            ("first", 2, 0)
        );
        assert_eq!(
            (steps[1].name, steps[1].hypercalls, steps[1].bytes_copied),
            ("second", 3, 7)
        );
    }
}
