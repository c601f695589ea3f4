// SPDX-License-Identifier: Apache-2.0
//! Snapshots in an S3 bucket.
//!
//! `bucket` is the store. Below it: `upload`, `index` and `list`, `object`, `manifest`, `delete`, `probe` say which requests
//! are made; `request`, `sign`, `client`, `retry`, `tcp`, `tls` send them; `response` and `error` tell what went wrong.
//! Nothing outside this directory knows HTTP, XML or a signature.

mod bucket;
mod capabilities;
mod client;
mod delete;
mod digest;
mod error;
mod headers;
mod imds;
mod index;
mod integrity;
mod kits;
mod layout;
mod list;
mod manifest;
mod object;
mod probe;
mod proxy;
mod readers;
mod request;
mod response;
mod retry;
mod sign;
mod tcp;
mod tls;
mod tls_verifier;
mod unfinished;
mod upload;
mod xml;

pub use bucket::S3;
pub(crate) use readers::{read_name, read_response};
