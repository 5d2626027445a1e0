// SPDX-License-Identifier: Apache-2.0
//! Transport and network card of a unikernel, against the bus and the network device of the VMM.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::ptr::NonNull;
use std::rc::Rc;

use lightvm_abi::TYPE_NET;
use lightvm_devices::{Bus, BusOptions, Network, NetworkOptions};
use unikernel_guest::{Bell, ControlPage, Device, NoxsTransport};
use unikernel_platform::{MAX_FRAME, NetworkCard, Page};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use vm_memory::{GuestAddress, GuestMemory, GuestMemoryMmap};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const REGION: u64 = 0x10_0000;
const MEMORY: usize = 2 << 20;
/// struct virtio_net_hdr without offloads.
const HEADER: [u8; 12] = [0; 12];

thread_local! {
    /// Where this test's guest has its address 0, and its first address that was not given out.
    static GUEST: Cell<(u64, u64)> = const { Cell::new((0, 0x1_0000)) };
}

/// The guest's memory is somewhere in this process.
struct GuestPages;

// SAFETY: pages of a guest's memory, which the test never frees; each is given out once.
unsafe impl Hal for GuestPages {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let (base, next) = GUEST.get();
        GUEST.set((base, next + (pages * PAGE_SIZE) as u64));
        (next, NonNull::new((base + next) as *mut u8).unwrap())
    }

    unsafe fn dma_dealloc(_address: PhysAddr, _start: NonNull<u8>, _pages: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_address: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as u64 - GUEST.get().0
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// The VMM hears at once.
#[derive(Clone)]
struct Direct(Rc<RefCell<Bus>>);

impl Bell for Direct {
    fn ring(&self) {
        self.0.borrow_mut().doorbell(0);
    }

    fn wait(&self) {
        panic!("the VMM has answered nothing");
    }
}

struct Bench {
    bus: Rc<RefCell<Bus>>,
    card: NetworkCard<GuestPages, NoxsTransport<Direct>>,
    far: UnixDatagram,
    rings: Rc<Cell<u32>>,
}

fn bench() -> Bench {
    let memory: GuestMemoryMmap =
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
    let base = memory.get_host_address(GuestAddress(0)).unwrap();
    // The devices outlive this function, and so does the memory.
    std::mem::forget(memory.clone());
    GUEST.set((base as u64, 0x1_0000));
    let (near, far) = UnixDatagram::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let rings = Rc::new(Cell::new(0));
    let counted = Rc::clone(&rings);
    let mut bus = Bus::new(BusOptions {
        memory,
        region: GuestAddress(REGION),
        region_pages: 2,
        page_port: 1,
        slot_ports: vec![2],
        notifier: Box::new(move |_| counted.set(counted.get() + 1)),
    })
    .unwrap();
    let options = NetworkOptions {
        mac: MAC,
        mtu: 1500,
        offloads: false,
    };
    let tap = Rc::new(File::from(OwnedFd::from(near)));
    bus.plug(Box::new(Network::new(tap, options))).unwrap();
    let bus = Rc::new(RefCell::new(bus));
    // SAFETY: the control page of slot 0, in memory that is never freed; the bus has atomics too.
    let page =
        unsafe { Page::from_raw(NonNull::new(base.wrapping_add(REGION as usize + 4096)).unwrap()) };
    let device = Device {
        kind: TYPE_NET,
        id: 1,
        port: 2,
        control: ControlPage::new(page),
    };
    let card = NetworkCard::new(NoxsTransport::new(device, Direct(Rc::clone(&bus)))).unwrap();
    Bench {
        bus,
        card,
        far,
        rings,
    }
}

impl Bench {
    fn arrive(&self, frame: &[u8]) {
        self.far.send(&[&HEADER, frame].concat()).unwrap();
        // The tap is readable: what the VMM's loop does then.
        self.bus.borrow_mut().doorbell(0);
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut frame = [0; MAX_FRAME];
        let length = self.card.receive(&mut frame).unwrap()?;
        Some(frame[..length].to_vec())
    }

    fn left(&self) -> Option<Vec<u8>> {
        let mut bytes = [0; 4096];
        let length = self.far.recv(&mut bytes).ok()?;
        assert_eq!(bytes[..HEADER.len()], HEADER);
        Some(bytes[HEADER.len()..length].to_vec())
    }
}

#[test]
fn the_card_has_the_address_that_the_node_gave_it() {
    assert_eq!(bench().card.mac_address(), MAC);
}

#[test]
fn frames_go_both_ways_whole_and_in_order() {
    let mut bench = bench();
    // More than there are buffers.
    for round in 0..50_u8 {
        let long = vec![round; MAX_FRAME];
        bench.arrive(&long);
        bench.arrive(&[round; 60]);
        assert_eq!(bench.receive(), Some(long));
        assert_eq!(bench.receive(), Some(vec![round; 60]));
        assert_eq!(bench.receive(), None);
        assert!(bench.card.can_send());
        bench.card.send(100, |frame| frame.fill(round));
        assert_eq!(bench.left(), Some(vec![round; 100]));
    }
}

#[test]
fn the_guest_is_rung_for_what_comes() {
    let bench = bench();
    let before = bench.rings.get();
    bench.arrive(&[1; 60]);
    assert_eq!(bench.rings.get(), before + 1);
}
