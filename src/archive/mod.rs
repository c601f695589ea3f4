// SPDX-License-Identifier: Apache-2.0
//! Forms in which a snapshot is stored other than plain, and age files. Another form of a snapshot is another file here and a
//! suffix in `model/name.rs`.

pub(crate) mod age;
mod packed;
pub mod zip;

pub(crate) use packed::packed_with;
