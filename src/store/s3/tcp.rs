// SPDX-License-Identifier: Apache-2.0
//! TCP connections whose timeouts count data that the kernel still sends as progress.
//!
//! The kernel takes several megabytes at once. A store, or a line, that is slow then receives for a long time without
//! any read or write of ours. So a timeout looks at the send queue of the socket: while the queue becomes shorter,
//! something moves.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Error, Timeout};

/// A timeout is cut into this many waits; after each, the queue is looked at.
const WAITS: u32 = 4;
/// The shortest wait.
const MIN_WAIT: Duration = Duration::from_millis(20);

/// Opens TCP connections.
#[derive(Debug)]
pub(super) struct TcpConnector;

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // A tunnel through a proxy is a connection already.
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let stream = Arc::new(connect(&details.addrs, details.timeout)?);
        stream.set_nodelay(details.config.no_delay())?;
        let handle: Arc<dyn ureq::unversioned::transport::ShutdownHandle> = stream.clone();
        (details.register_shutdown)(Arc::downgrade(&handle))?;
        let sizes = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let buffers = LazyBuffers::new(sizes.0, sizes.1);
        Ok(Some(Either::B(TcpTransport { stream, buffers })))
    }
}

/// Connects to the first address that answers. Each address but the last gets half of the time that is left.
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let started = Instant::now();
    let limit = timeout.not_zero();
    let mut last = Error::ConnectionFailed;
    for (i, address) in addresses.iter().enumerate() {
        let opened = match limit {
            None => TcpStream::connect(address),
            Some(limit) => {
                let left = limit.saturating_sub(started.elapsed());
                let share = if i + 1 < addresses.len() { left / 2 } else { left };
                TcpStream::connect_timeout(address, share.max(MIN_WAIT))
            }
        };
        last = match opened {
            Ok(stream) => return Ok(stream),
            Err(e) if is_timeout(&e) => Error::Timeout(Timeout::Connect),
            Err(e) => e.into(),
        };
        if limit.is_some_and(|limit| started.elapsed() >= *limit) {
            break;
        }
    }
    Err(last)
}

fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A TCP connection.
pub(super) struct TcpTransport {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a TCP connection")
    }
}

/// The time in which nothing moved.
struct Stall<'a> {
    stream: &'a TcpStream,
    timeout: NextTimeout,
    moved: Instant,
    queue: Option<u64>,
}

impl<'a> Stall<'a> {
    fn new(stream: &'a TcpStream, timeout: NextTimeout) -> Stall<'a> {
        Stall { stream, timeout, moved: Instant::now(), queue: None }
    }

    fn limit(&self) -> Option<Duration> {
        self.timeout.not_zero().map(|limit| *limit)
    }

    /// How long the next read or write may block. An error if nothing has moved for too long.
    fn wait(&self) -> Result<Option<Duration>, Error> {
        let Some(limit) = self.limit() else { return Ok(None) };
        let left = limit.saturating_sub(self.moved.elapsed());
        if left.is_zero() {
            return Err(Error::Timeout(self.timeout.reason));
        }
        Ok(Some((limit / WAITS).max(MIN_WAIT).min(left)))
    }

    /// Looks at the queue after a wait without success.
    fn look(&mut self) {
        // The other reasons are limits of something as a whole.
        if !matches!(self.timeout.reason, Timeout::PerRead | Timeout::PerWrite) {
            return;
        }
        let queue = queued(self.stream);
        if queue.zip(self.queue).is_some_and(|(now, before)| now < before) {
            self.moved = Instant::now();
        }
        self.queue = queue;
    }

    fn reset(&mut self) {
        self.moved = Instant::now();
        self.queue = None;
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest: &[u8] = self.buffers.output().get(..amount).unwrap_or_default();
        let mut stream = &*self.stream;
        let mut stall = Stall::new(stream, timeout.for_write());
        while !rest.is_empty() {
            stream.set_write_timeout(stall.wait()?)?;
            match stream.write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    stall.reset();
                }
                Err(e) if is_timeout(&e) => stall.look(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut stream = &*self.stream;
        let mut stall = Stall::new(stream, timeout.for_read());
        loop {
            stream.set_read_timeout(stall.wait()?)?;
            match stream.read(self.buffers.input_append_buf()) {
                Ok(n) => {
                    self.buffers.input_appended(n);
                    return Ok(n > 0);
                }
                Err(e) if is_timeout(&e) => stall.look(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Nothing is to be read from a connection without a request: anything else is its end.
        let mut stream = &*self.stream;
        let would_block = |r: io::Result<usize>| r.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
        stream.set_nonblocking(true).is_ok()
            && would_block(stream.read(&mut [0]))
            && stream.set_nonblocking(false).is_ok()
    }
}

/// Bytes that the kernel has still to send, or that the other end has not acknowledged. `None` if that is not known.
fn queued(stream: &TcpStream) -> Option<u64> {
    let (local, peer) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
    let table = if local.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    send_queue(&std::fs::read_to_string(table).ok()?, &local, &peer)
}

/// The send queue of a connection in the table of the kernel, in bytes.
fn send_queue(table: &str, local: &SocketAddr, peer: &SocketAddr) -> Option<u64> {
    let (local, peer) = (in_table(local), in_table(peer));
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_it = fields.next()? == local && fields.next()? == peer;
        let (queue, _) = fields.nth(1).filter(|_| is_it)?.split_once(':')?;
        u64::from_str_radix(queue, 16).ok()
    })
}

/// An address as the table has it: words of 32 bits in the byte order of the machine, then the port.
fn in_table(address: &SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    let mut text = String::new();
    for word in octets.as_chunks::<4>().0 {
        let _ = write!(text, "{:08X}", u32::from_ne_bytes(*word));
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_queue_of_a_connection_is_what_the_other_end_has_not_taken() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut other, _) = listener.accept().unwrap();
            assert_eq!(queued(&stream), Some(0), "{host}");
            stream.set_nonblocking(true).unwrap();
            let mut sent = 0;
            while let Ok(n) = (&stream).write(&[0; 65_536]) {
                sent += n;
            }
            let full = queued(&stream).unwrap();
            assert!(full > 0 && full <= sent as u64, "{host}: {full} of {sent}");
            other.set_nonblocking(true).unwrap();
            let mut taken = 0;
            let mut buf = vec![0; 65_536];
            for _ in 0..200 {
                taken += other.read(&mut buf).unwrap_or(0);
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(taken > 0 && queued(&stream).unwrap() < full, "{host}");
        }
    }

    #[test]
    fn a_connection_that_is_not_in_the_table_has_no_known_queue() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   0: 0100007F:1F90 0200007F:0050 01 0000002A:00000000 00:00000000\n";
        if cfg!(target_endian = "little") {
            assert_eq!(send_queue(table, &address("127.0.0.1:8080"), &address("127.0.0.2:80")), Some(42));
        }
        assert_eq!(send_queue(table, &address("127.0.0.1:8081"), &address("127.0.0.2:80")), None);
        assert_eq!(send_queue("", &address("127.0.0.1:8080"), &address("127.0.0.2:80")), None);
    }
}
