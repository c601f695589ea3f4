// SPDX-License-Identifier: Apache-2.0
//! The readers of what a store answers as functions of bytes, for `crate::readers`.

use ureq::http::HeaderMap;

use super::{layout, response, xml};

/// Reads the body of a response: as a document, and as an error.
pub(crate) fn read_response(bytes: &[u8]) {
    let _ = xml::parse(bytes);
    let _ = response::error_from_response(403, &HeaderMap::new(), bytes, "us-east-1");
}

/// Reads the name of a manifest in the bucket.
pub(crate) fn read_name(name: &str) {
    let _ = layout::parse_manifest_name(name);
    let _ = layout::is_plain(name);
}
