// SPDX-License-Identifier: Apache-2.0
//! The etcd of K3s over gRPC, with the client certificate that K3s keeps. No API server is needed.
//!
//! The only directory that imports the etcd client, and one of two places with an async runtime: one `block_on` for each call,
//! nothing kept between calls.

mod connection;
mod error;
mod objects;
mod pin;
mod status;
mod stream;

pub use connection::EtcdStream;
pub(super) use pin::Pin;
