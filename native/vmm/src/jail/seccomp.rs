// SPDX-License-Identifier: Apache-2.0
//! The filter of system calls: `rules.rs`, compiled by the build script.

use lightvm_jail::{Instruction, JailError};

/// Any other call than those of the rules ends the process with SIGSYS.
static FILTER: &[Instruction] = &include!(concat!(env!("OUT_DIR"), "/filter.rs"));

/// Lets this thread make the calls of the rules and no others. This process has one thread.
pub(super) fn install() -> Result<(), JailError> {
    lightvm_jail::install_filter(FILTER)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use lightvm_jail::Violation;

    use super::super::rules;
    use super::*;

    /// Runs `what` in a thread of its own under the filter, violations giving EPERM.
    fn filtered<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
        let run = || {
            lightvm_jail::install_filter(&rules::compile(Violation::Fails).unwrap()).unwrap();
            what()
        };
        thread::spawn(run).join().unwrap()
    }

    fn denied<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
    }

    #[test]
    fn the_filter_is_that_of_the_rules() {
        assert_eq!(u64::from(rules::MMAP_BATCH), lightvm_xen::MMAP_BATCH);
        assert_eq!(u64::from(rules::EVTCHN_BIND), lightvm_xen::BIND_INTERDOMAIN);
        let compiled = rules::compile(Violation::Kills).unwrap();
        assert_eq!(FILTER, compiled);
    }

    #[test]
    fn nothing_can_be_opened_or_connected() {
        assert!(filtered(|| denied(File::open("/proc/self/status"))));
        assert!(filtered(|| denied(File::create("/tmp/lightvm-vmm-never"))));
        assert!(filtered(|| denied(UnixStream::pair())));
        assert!(filtered(|| denied(TcpListener::bind("127.0.0.1:0"))));
        assert!(filtered(|| denied(std::fs::remove_file(
            "/tmp/lightvm-vmm-never"
        ))));
    }

    #[test]
    fn nothing_can_be_run() {
        assert!(filtered(|| denied(
            std::process::Command::new("/bin/true").spawn()
        )));
        assert!(filtered(|| denied(thread::Builder::new().spawn(|| ()))));
    }

    #[test]
    fn open_descriptors_work_on() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let mut file = File::open("/proc/self/status").unwrap();
        let (length, echo) = filtered(move || {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            near.write_all(b"x").unwrap();
            let mut echo = [0];
            far.read_exact(&mut echo).unwrap();
            (text.len(), echo)
        });
        assert!(length > 0);
        assert_eq!(&echo, b"x");
    }

    #[test]
    fn disks_are_measured_written_and_flushed() {
        let path = std::env::temp_dir().join(format!("lightvm-vmm-disk-{}", std::process::id()));
        let file = File::create_new(&path).unwrap();
        let served = filtered(move || {
            use std::os::unix::fs::FileExt;
            file.write_all_at(&[1; 512], 0)?;
            file.sync_data()?;
            let measured = (&file).seek(SeekFrom::End(0))?;
            // Of a file, the kernel does not know it: the filter has let it come that far.
            Ok((measured, rustix::fs::ioctl_blksszget(&file)))
        });
        std::fs::remove_file(path).unwrap();
        let served: std::io::Result<_> = served;
        assert_eq!(served.unwrap(), (512, Err(rustix::io::Errno::NOTTY)));
    }

    #[test]
    fn large_allocations_come_and_go() {
        let sum = filtered(|| {
            let mut bytes = vec![1_u8; 8 << 20];
            bytes.resize(16 << 20, 2);
            bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>()
        });
        assert_eq!(sum, 24 << 20);
    }
}
