// SPDX-License-Identifier: Apache-2.0
//! The first and only system process of a Tinyx guest, in the order in which a pod meets it.

pub mod boot;
pub mod network;
pub mod vsock;

pub mod agent;
pub mod calls;
pub mod control;
pub mod uevents;
mod waiting;

pub mod entropy;
pub mod sandbox;

pub mod cgroup;
pub mod command;
pub mod container;
pub mod devices;
pub mod image_volumes;
pub mod images;
pub mod root;
mod shrink;
pub mod user_namespace;
pub mod users;
pub mod volumes;

pub mod channel;
pub mod forward;
pub mod launch;
pub mod launcher;
pub mod neighbour;
pub mod pod_init;
pub mod process;
pub mod relay;

pub mod error;
pub mod shutdown;
pub mod stats;
