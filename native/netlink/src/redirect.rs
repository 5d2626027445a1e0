// SPDX-License-Identifier: Apache-2.0
//! Everything that arrives at one interface leaves through another (tc-mirred(8)).

use std::io::{self, ErrorKind::InvalidInput, ErrorKind::NotFound};

use crate::message::{CREATE, EXCLUSIVE, Request};
use crate::socket::{CHANGE, Netlink};

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_NEWTFILTER: u16 = 44;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// Place and name of the queueing discipline for what arrives.
const TC_H_INGRESS: u32 = 0xffff_fff1;
const INGRESS_HANDLE: u32 = 0xffff_0000;
const TCA_MATCHALL_ACT: u16 = 2;
/// Actions of a filter are numbered from 1.
const FIRST_ACTION: u16 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MIRRED_PARMS: u16 = 2;
const TCA_EGRESS_REDIR: u32 = 1;
const TC_ACT_STOLEN: u32 = 4;
const PRIORITY: u32 = 1;
const ETH_P_ALL: u16 = 3;

impl Netlink {
    /// Sends all that arrives at `from` out through `to`, before the kernel's own stack, packet
    /// sockets aside, has seen it; instead of what was done with it before.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn redirect(&mut self, from: u32, to: u32) -> io::Result<()> {
        let flags = CHANGE | CREATE | EXCLUSIVE;
        let ingress = structure(from, INGRESS_HANDLE, TC_H_INGRESS, 0);
        match self.change(Request::new(RTM_DELQDISC, CHANGE, &ingress)) {
            // Kernels differ in how they say that there is none.
            Err(error) if !matches!(error.kind(), NotFound | InvalidInput) => return Err(error),
            _ => {}
        }
        self.change(Request::new(RTM_NEWQDISC, flags, &ingress).text(TCA_KIND, "ingress"))?;
        let info = (PRIORITY << 16) | u32::from(ETH_P_ALL.to_be());
        let filter = structure(from, 0, INGRESS_HANDLE, info);
        let action = |request: Request| {
            request
                .text(TCA_ACT_KIND, "mirred")
                .nest(TCA_ACT_OPTIONS, |options| {
                    options.attribute(TCA_MIRRED_PARMS, &mirred(to))
                })
        };
        self.change(
            Request::new(RTM_NEWTFILTER, flags, &filter)
                .text(TCA_KIND, "matchall")
                .nest(TCA_OPTIONS, |options| {
                    options.nest(TCA_MATCHALL_ACT, |actions| {
                        actions.nest(FIRST_ACTION, action)
                    })
                }),
        )
    }
}

/// struct tcmsg.
fn structure(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let fields = [0, index, handle, parent, info]; // the first is family and padding
    fields
        .iter()
        .flat_map(|field| field.to_ne_bytes())
        .collect()
}

/// struct tc_mirred: index, capabilities, action, two counters, what to do, where to.
fn mirred(to: u32) -> Vec<u8> {
    let fields = [0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, to];
    fields
        .iter()
        .flat_map(|field| field.to_ne_bytes())
        .collect()
}
