// SPDX-License-Identifier: Apache-2.0
//! This machine: its ports, addresses, memory and random numbers.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

use super::aside::HostNetwork;
use super::interfaces::Host;
use super::ports::{self, Listener};
use super::signals;

/// The machine that this process runs on.
pub struct Machine;

impl Host for Machine {
    fn listeners(&self, ports: &[u16]) -> Result<Vec<Listener>> {
        ports::listeners(ports)
    }

    fn stop_requested(&self) -> bool {
        signals::stop_requested()
    }

    fn addresses(&self) -> Vec<String> {
        match HostNetwork::read() {
            Ok(network) => network.all().map(|ip| ip.to_string()).collect(),
            Err(e) => {
                log::warn!("{e:#}");
                vec![]
            }
        }
    }

    fn available_memory(&self) -> u64 {
        available(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
    }

    fn random_id(&self) -> Result<u64> {
        let mut source = File::open("/dev/urandom").context("opening the random numbers of the kernel")?;
        let mut bytes = [0u8; 8];
        loop {
            source.read_exact(&mut bytes).context("reading a random number")?;
            match u64::from_ne_bytes(bytes) {
                0 => {}
                id => return Ok(id),
            }
        }
    }
}

/// `MemAvailable` in bytes. Without that line, memory counts as scarce.
fn available(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        assert_eq!(available("MemTotal:  100 kB\nMemAvailable:    16 kB\n"), 16384);
        assert_eq!(available(""), 0);
        assert!(Machine.available_memory() > 0);
        assert_ne!(Machine.random_id().unwrap(), Machine.random_id().unwrap());
    }
}
