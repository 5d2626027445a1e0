// SPDX-License-Identifier: Apache-2.0
//! The host's ends of the guest's network devices, in the event loop.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use lightvm_devices::{DeviceId, TapInterest};

use crate::poller::{Interest, Poller, Token};

/// A tap that the poller watches for its device.
#[derive(Debug)]
struct Tap {
    file: Rc<File>,
    poller: Rc<Poller>,
    device: DeviceId,
}

/// All taps of a guest, by their names in events.
#[derive(Debug, Default)]
pub(super) struct Taps(BTreeMap<Token, Tap>);

impl Taps {
    /// Watches a device's tap, at first for its end only.
    pub(super) fn watch(
        &mut self,
        poller: &Rc<Poller>,
        token: Token,
        file: Rc<File>,
        device: DeviceId,
    ) -> io::Result<()> {
        poller.add(file.as_fd(), token, Interest::default())?;
        let poller = Rc::clone(poller);
        let tap = Tap {
            file,
            poller,
            device,
        };
        self.0.insert(token, tap);
        Ok(())
    }

    /// Whose tap this is.
    pub(super) fn device(&self, token: Token) -> Option<DeviceId> {
        self.0.get(&token).map(|tap| tap.device)
    }

    /// Watches a device's tap for what the device waits for now.
    pub(super) fn wait_for(&self, device: DeviceId, interest: TapInterest) -> io::Result<()> {
        let TapInterest { read, write } = interest;
        match self.0.iter().find(|(_, tap)| tap.device == device) {
            Some((token, tap)) => {
                let interest = Interest { read, write };
                tap.poller.change(tap.file.as_fd(), *token, interest)
            }
            None => Ok(()),
        }
    }

    /// Watches a device's tap no more.
    pub(super) fn forget(&mut self, device: DeviceId) -> io::Result<()> {
        let found = self.0.iter().find(|(_, tap)| tap.device == device);
        let Some(token) = found.map(|(token, _)| *token) else {
            return Ok(());
        };
        match self.0.remove(&token) {
            Some(tap) => tap.poller.remove(tap.file.as_fd()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    use std::time::Instant;

    use super::*;

    const DEVICE: DeviceId = DeviceId(4);
    const TOKEN: Token = Token(9);

    #[test]
    fn a_tap_is_watched_for_what_its_device_wants() {
        let poller = Rc::new(Poller::new().unwrap());
        let (near, far) = UnixDatagram::pair().unwrap();
        let file = Rc::new(File::from(OwnedFd::from(near)));
        let mut taps = Taps::default();
        taps.watch(&poller, TOKEN, file, DEVICE).unwrap();
        assert_eq!(taps.device(TOKEN), Some(DEVICE));
        let ready = || {
            let mut ready = Vec::new();
            poller.wait(Some(Instant::now()), &mut ready).unwrap();
            let flags = ready.first().map(|it| (it.readable, it.writable));
            flags.unwrap_or_default()
        };
        far.send(b"frame").unwrap();
        for (read, write) in [(true, false), (false, false), (true, true), (false, true)] {
            taps.wait_for(DEVICE, TapInterest { read, write }).unwrap();
            assert_eq!(ready(), (read, write));
        }
        taps.forget(DEVICE).unwrap();
        assert_eq!((ready(), taps.device(TOKEN)), ((false, false), None));
        taps.forget(DEVICE).unwrap();
        taps.wait_for(DEVICE, TapInterest::default()).unwrap();
    }
}
