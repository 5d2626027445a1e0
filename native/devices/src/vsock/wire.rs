// SPDX-License-Identifier: Apache-2.0
//! Packet headers of virtio-vsock, from bytes and to bytes.

/// Bytes of a header.
pub(super) const HEADER_LENGTH: usize = 44;
/// The context id of the host.
pub(super) const HOST_CID: u64 = 2;
/// VIRTIO_VSOCK_TYPE_STREAM.
const TYPE_STREAM: u16 = 1;
/// VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE: the sender receives no more.
const SHUTDOWN_RECEIVE: u32 = 1;
/// VIRTIO_VSOCK_SHUTDOWN_F_SEND: the sender sends no more.
const SHUTDOWN_SEND: u32 = 2;

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Open a connection.
    Request,
    /// It is open.
    Response,
    /// It is gone, or never was.
    Reset,
    /// The sender receives or sends no more.
    Shutdown { receive: bool, send: bool },
    /// Data.
    Data,
    /// Here is my credit.
    CreditUpdate,
    /// Tell me your credit.
    CreditRequest,
}

impl Operation {
    fn parse(number: u16, flags: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown {
                receive: flags & SHUTDOWN_RECEIVE != 0,
                send: flags & SHUTDOWN_SEND != 0,
            },
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }

    fn number_and_flags(self) -> (u16, u32) {
        match self {
            Self::Request => (1, 0),
            Self::Response => (2, 0),
            Self::Reset => (3, 0),
            Self::Shutdown { receive, send } => {
                let receive = if receive { SHUTDOWN_RECEIVE } else { 0 };
                let send = if send { SHUTDOWN_SEND } else { 0 };
                (4, receive | send)
            }
            Self::Data => (5, 0),
            Self::CreditUpdate => (6, 0),
            Self::CreditRequest => (7, 0),
        }
    }
}

/// The two ports that tell connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ports {
    pub(super) guest: u32,
    pub(super) host: u32,
}

/// One side's credit, as it is in every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Credit {
    /// Size of the sender's receive buffer.
    pub(super) buffer: u32,
    /// Bytes that have left it, modulo 2³².
    pub(super) forwarded: u32,
}

/// A packet's header without the context ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ports: Ports,
    pub(super) operation: Operation,
    pub(super) length: u32,
    pub(super) credit: Credit,
}

/// What the guest sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FromGuest {
    /// Something for us.
    Packet(Header),
    /// Not for the host, no stream, or an operation that virtio does not know: answered with RST.
    Refused(Ports),
    /// Nothing that an answer could be addressed to.
    Dropped,
}

impl FromGuest {
    pub(super) fn parse(bytes: &[u8; HEADER_LENGTH], guest_cid: u32) -> Self {
        let mut fields = Fields(bytes);
        let source_cid = fields.u64();
        let destination_cid = fields.u64();
        let ports = Ports {
            guest: fields.u32(),
            host: fields.u32(),
        };
        let length = fields.u32();
        let kind = fields.u16();
        let number = fields.u16();
        let flags = fields.u32();
        let credit = Credit {
            buffer: fields.u32(),
            forwarded: fields.u32(),
        };
        if source_cid != u64::from(guest_cid) {
            return Self::Dropped;
        }
        let Some(operation) = Operation::parse(number, flags) else {
            return Self::Refused(ports);
        };
        if destination_cid == HOST_CID && kind == TYPE_STREAM {
            Self::Packet(Header {
                ports,
                operation,
                length,
                credit,
            })
        } else if operation == Operation::Reset {
            // An answer to a reset would be answered in turn.
            Self::Dropped
        } else {
            Self::Refused(ports)
        }
    }
}

/// Takes little-endian integers off the front; the array is as long as the fields together.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let (field, rest) = self.0.split_at(N);
        bytes.copy_from_slice(field);
        self.0 = rest;
        bytes
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

impl Header {
    /// The header of a packet from the host to the guest.
    pub(super) fn to_guest(self, guest_cid: u32) -> [u8; HEADER_LENGTH] {
        let (number, flags) = self.operation.number_and_flags();
        let parts: [&[u8]; 10] = [
            &HOST_CID.to_le_bytes(),
            &u64::from(guest_cid).to_le_bytes(),
            &self.ports.host.to_le_bytes(),
            &self.ports.guest.to_le_bytes(),
            &self.length.to_le_bytes(),
            &TYPE_STREAM.to_le_bytes(),
            &number.to_le_bytes(),
            &flags.to_le_bytes(),
            &self.credit.buffer.to_le_bytes(),
            &self.credit.forwarded.to_le_bytes(),
        ];
        let mut bytes = [0; HEADER_LENGTH];
        let mut rest = &mut bytes[..];
        for part in parts {
            let (field, behind) = rest.split_at_mut(part.len());
            field.copy_from_slice(part);
            rest = behind;
        }
        bytes
    }
}
