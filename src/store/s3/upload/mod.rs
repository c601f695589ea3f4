// SPDX-License-Identifier: Apache-2.0
//! Uploads, in one piece (`single`) or in parts (`multipart`). Nothing imports this but the type of the bucket.

mod expected;
mod job;
mod multipart;
mod run;
mod single;

pub(super) use run::upload;
