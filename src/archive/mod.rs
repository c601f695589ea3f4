// SPDX-License-Identifier: Apache-2.0
//! Forms in which a snapshot is stored other than plain. Another one is another file here and a suffix in `model/name.rs`.

mod packed;
pub mod zip;

pub(crate) use packed::packed_with;
