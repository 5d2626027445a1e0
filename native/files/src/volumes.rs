// SPDX-License-Identifier: Apache-2.0
//! What the guest can see: the directory of the pod's volumes, as it is at every moment.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fuse_backend_rs::abi::fuse_abi::FsOptions;
use fuse_backend_rs::api::server::Server;
use fuse_backend_rs::api::{Vfs, VfsOptions};
use fuse_backend_rs::passthrough::{CachePolicy, Config, PassthroughFs};

/// How long the guest may believe a name or an attribute. The node changes volumes behind the
/// guest's back (a ConfigMap's update is a swapped symlink, an emptyDir has other users), and pods
/// expect to see that as they would on any node: so not at all. File content stays cached as long
/// as its attributes say that it is the same.
const BELIEVED: Duration = Duration::ZERO;

/// The FUSE server of the volumes.
pub type Volumes = Server<Arc<Vfs>>;

/// A server of what is in `directory`. Needs `/proc/self`.
///
/// # Errors
///
/// The directory's, or that of `/proc`.
pub fn server(directory: &str) -> io::Result<Volumes> {
    let files = PassthroughFs::<()>::new(Config {
        root_dir: directory.into(),
        // Vfs asks for what it passes on.
        do_import: false,
        entry_timeout: BELIEVED,
        attr_timeout: BELIEVED,
        cache_policy: CachePolicy::Auto,
        writeback: false,
        xattr: true,
        killpriv_v2: true,
        ..Config::default()
    })?;
    files.import()?;
    let vfs = Vfs::new(options());
    let mounted = vfs.mount(Box::new(files), "/");
    mounted.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Server::new(Arc::new(vfs)))
}

/// What is agreed on with the guest's kernel, if it has it too. Left out: whatever keeps names,
/// links or writes in the guest (symlink caching, write-back), and ioctls.
fn options() -> VfsOptions {
    let out_opts = FsOptions::ASYNC_READ
        | FsOptions::PARALLEL_DIROPS
        | FsOptions::BIG_WRITES
        | FsOptions::MAX_PAGES
        | FsOptions::ASYNC_DIO
        | FsOptions::AUTO_INVAL_DATA
        | FsOptions::ATOMIC_O_TRUNC
        | FsOptions::DO_READDIRPLUS
        | FsOptions::READDIRPLUS_AUTO
        | FsOptions::HANDLE_KILLPRIV_V2;
    VfsOptions {
        out_opts,
        no_open: false,
        no_opendir: false,
        no_writeback: true,
        killpriv_v2: true,
        ..VfsOptions::default()
    }
}
