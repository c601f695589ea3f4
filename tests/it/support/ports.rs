// SPDX-License-Identifier: Apache-2.0
//! Free ports on 127.0.0.1, as far as that can be known. They are taken from below the range that the kernel gives to
//! outgoing connections: a port from that range could be gone when a stopped member wants it back. Another process may
//! still be faster, so a caller that starts a server must check that it got its port.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

const LOWEST: u16 = 10_000;
const HIGHEST: u16 = 32_000;

/// The three ports of an etcd member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) client: u16,
    pub(crate) peer: u16,
    pub(crate) metrics: u16,
}

impl Ports {
    /// Three unused ports that this function has not returned before in this process.
    pub(crate) fn free() -> Ports {
        Ports { client: free_port(), peer: free_port(), metrics: free_port() }
    }
}

/// An unused port.
pub(crate) fn free_port() -> u16 {
    // Processes start at different places, so that two of them seldom meet.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = HIGHEST - LOWEST;
    let start = (u64::from(std::process::id()).wrapping_mul(7919) % u64::from(span)) as u16;
    for _ in 0..span {
        let port = LOWEST + (start + NEXT.fetch_add(1, Relaxed) % span) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {LOWEST} and {HIGHEST}")
}
