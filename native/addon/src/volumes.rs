// SPDX-License-Identifier: Apache-2.0
//! What `src/toolstack` needs for a pod's volumes and Node does not have.

use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use nix::sys::socket::{setsockopt, sockopt};

use crate::mounts::{self, Options};
use crate::task::{Work, failure, promise};
use crate::user_namespace;

/// Bytes that wait in a socket: a whole FUSE message, so that a file server need not wait for its
/// reader between two parts of one.
const SOCKET_BUFFER: usize = 1 << 20;

/// How a volume is mounted.
#[napi(object)]
pub struct VolumeOptions {
    /// No writes to the mount itself;
    pub read_only: bool,
    /// and none to what is mounted below it.
    pub recursively: bool,
    /// What the host mounts below the source later is seen in the volume.
    pub follow_host: bool,
    /// How owners of its files are seen; as they are when there is nothing.
    pub id_mappings: Option<IdMappings>,
}

/// User and group ids of files, from 0 on, as those of a user namespace.
#[napi(object)]
pub struct IdMappings {
    /// Users.
    pub uids: IdRange,
    /// Groups.
    pub gids: IdRange,
}

/// Ids from 0 on are seen as those from `host_id` on; others are nobody's.
#[napi(object)]
pub struct IdRange {
    /// What 0 becomes.
    pub host_id: u32,
    /// How many there are.
    pub length: u32,
}

impl From<IdMappings> for user_namespace::IdMappings {
    fn from(mappings: IdMappings) -> Self {
        let range = |IdRange { host_id, length }| user_namespace::IdRange { host_id, length };
        Self {
            uids: range(mappings.uids),
            gids: range(mappings.gids),
        }
    }
}

/// Two connected stream sockets, as descriptors that the caller closes.
#[napi]
pub fn socket_pair() -> napi::Result<Vec<i32>> {
    let (near, far) = UnixStream::pair().map_err(failure)?;
    for socket in [&near, &far] {
        // Beyond what anyone may ask for, which takes CAP_NET_ADMIN.
        setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER).map_err(failure)?;
    }
    Ok(vec![near.into_raw_fd(), far.into_raw_fd()])
}

/// Mounts `source` as the volume `name` of the file server with this pid and start time.
#[napi(ts_return_type = "Promise<void>")]
pub fn mount_volume(
    pid: u32,
    start_time: String,
    source: String,
    name: String,
    options: VolumeOptions,
) -> AsyncTask<Work<()>> {
    let options = Options {
        read_only: options.read_only,
        recursively: options.recursively,
        follow_host: options.follow_host,
        ids: options.id_mappings.map(Into::into),
    };
    // The source's file system may be a network's.
    promise(move || {
        let namespace = mounts::namespace(pid, &start_time).map_err(failure)?;
        mounts::mount_volume(namespace, Path::new(&source), name, options).map_err(failure)
    })
}

/// Takes a volume of a file server away; no error when there is none.
#[napi(ts_return_type = "Promise<void>")]
pub fn unmount_volume(pid: u32, start_time: String, name: String) -> AsyncTask<Work<()>> {
    promise(move || {
        let namespace = mounts::namespace(pid, &start_time).map_err(failure)?;
        mounts::unmount_volume(namespace, name).map_err(failure)
    })
}
