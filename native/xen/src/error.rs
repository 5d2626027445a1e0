// SPDX-License-Identifier: Apache-2.0
use std::error::Error;
use std::fmt;
use std::io;

use nix::libc;

/// Why Xen could not be asked, or said no.
#[derive(Debug)]
pub enum XenError {
    /// A device node of the Xen drivers cannot be opened: not a dom0, or not allowed.
    Unavailable {
        /// The device node.
        path: &'static str,
        /// What opening it gave.
        source: io::Error,
    },
    /// Xen speaks no version of an unstable interface that this program knows.
    UnknownInterface(&'static str),
    /// A hypercall or an ioctl of the Xen drivers failed.
    Refused {
        /// Xen's name of the operation.
        operation: &'static str,
        /// Xen's error number.
        source: io::Error,
    },
    /// A frame of another domain could not be mapped.
    Unmappable {
        /// The guest's frame number.
        frame: u64,
        /// Xen's error number for this frame.
        source: io::Error,
    },
    /// The arguments do not fit into the hypercall buffer.
    ArgumentsTooLarge(&'static str),
}

impl XenError {
    /// Whether Xen had too little free memory.
    pub fn is_out_of_memory(&self) -> bool {
        self.errno() == Some(libc::ENOMEM)
    }

    /// Whether Xen wants the same call again: an operation that it does in pieces.
    pub(crate) fn is_unfinished(&self) -> bool {
        // Xen's ERESTART has Linux's number; EAGAIN is what older ones say.
        matches!(self.errno(), Some(libc::EAGAIN | libc::ERESTART))
    }

    /// Whether the domain that was named is not there.
    pub fn is_no_such_domain(&self) -> bool {
        self.errno() == Some(libc::ESRCH)
    }

    fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::Unmappable { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { path, .. } => write!(f, "Xen is not available: cannot open {path}"),
            Self::UnknownInterface(what) => {
                write!(f, "this Xen's {what} interface is not one of 4.17 to 4.20")
            }
            Self::Refused { operation, .. } => write!(f, "{operation} failed"),
            Self::Unmappable { frame, .. } => write!(f, "cannot map guest frame {frame:#x}"),
            Self::ArgumentsTooLarge(operation) => {
                write!(
                    f,
                    "the arguments of {operation} do not fit into the hypercall buffer"
                )
            }
        }
    }
}

impl Error for XenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable { source, .. }
            | Self::Refused { source, .. }
            | Self::Unmappable { source, .. } => Some(source),
            Self::UnknownInterface(_) | Self::ArgumentsTooLarge(_) => None,
        }
    }
}
