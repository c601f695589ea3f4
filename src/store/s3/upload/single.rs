// SPDX-License-Identifier: Apache-2.0
//! Uploads a snapshot in one request.

use sha2::{Digest as _, Sha256};
use ureq::http::Method;

use super::super::capabilities::Features;
use super::super::digest::{base64, digests};
use super::super::headers::{etag, header, if_none_match, snapshot_headers};
use super::super::object::Head;
use super::super::request::{Payload, S3Request};
use super::expected::in_one_piece;
use super::job::{Sent, Unsent, Upload};

const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Reads the file for its digests and compares them, then reads it again to send it: from the page cache that costs less
/// than memory. The digests go with the request, so the store refuses other bytes.
pub(super) fn send(upload: &Upload<'_>) -> Sent {
    let data = upload.file.data();
    let (size, mut whole) = (upload.size(), Sha256::new());
    let digests = digests(data, 0, size, &mut whole)?;
    upload.ensure_verified(whole)?;
    let expected = in_one_piece(size, &digests);
    let all = Features { condition: true, checksum: true };
    let sent = upload.capabilities.with_fallback(all, |features| {
        let request = S3Request::new(Method::PUT, upload.key);
        let bucket = &upload.client.bucket;
        let mut request = snapshot_headers(request, bucket, upload.name, upload.file.manifest())
            .header("content-md5", base64(&digests.md5));
        if features.checksum {
            request = request.header(CHECKSUM, &expected.checksum);
        }
        let request = if_none_match(request, features.condition);
        upload.client.send(&request, Payload::Range(data, 0, size))
    });
    match sent {
        Ok(response) => {
            upload.progress.advance(size);
            let checksum = header(&response.headers, CHECKSUM).to_owned();
            let head = Head::from_upload(size, etag(&response.headers), checksum, &response.headers);
            Ok((expected, head))
        }
        Err(error) => Err(Unsent { error, expected: Some(Box::new(expected)) }),
    }
}
