// SPDX-License-Identifier: Apache-2.0
//! Random bytes from the host for the guest's pool.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Most bytes given to the kernel at once.
const CHUNK_BYTES: usize = 64;

/// `struct rand_pool_info` of the kernel, with room for one chunk.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    length: i32,
    bytes: [u8; CHUNK_BYTES],
}

nix::ioctl_write_ptr_bad!(
    /// RNDADDENTROPY. Its number is that of a struct with two ints and no bytes.
    add_entropy,
    nix::request_code_write!(b'R', 0x03, 8),
    PoolInfo
);

nix::ioctl_none!(
    /// RNDRESEEDCRNG.
    reseed,
    b'R',
    0x07
);

/// Mixes `bytes` into the pool and counts them as entropy, which writing to the device does not.
/// They take effect at once: a guest that has waited in a pool of VMs was seeded long ago.
pub fn credit(bytes: &[u8]) -> io::Result<()> {
    let device = OpenOptions::new().write(true).open("/dev/urandom")?;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        let mut info = PoolInfo {
            entropy_bits: 0,
            length: 0,
            bytes: [0; CHUNK_BYTES],
        };
        info.bytes[..chunk.len()].copy_from_slice(chunk);
        // At most 64: both fit.
        info.length = chunk.len() as i32;
        info.entropy_bits = info.length * 8;
        #[expect(unsafe_code, reason = "no crate has a safe face for this request")]
        // SAFETY: the descriptor is open for the call; the kernel reads two ints and then `length`
        // bytes, and `length` is at most the size of `bytes`. It writes nothing.
        unsafe { add_entropy(device.as_raw_fd(), &raw const info) }?;
    }
    #[expect(unsafe_code, reason = "no crate has a safe face for this request")]
    // SAFETY: the descriptor is open for the call, and the request has no argument.
    let reseeded = unsafe { reseed(device.as_raw_fd()) };
    match reseeded {
        // Not seeded at all yet: what was just credited is what it will be seeded with.
        Ok(_) | Err(Errno::ENODATA) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
