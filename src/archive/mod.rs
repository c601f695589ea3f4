// SPDX-License-Identifier: Apache-2.0
//! How a snapshot is stored other than plain. Another codec is another file here and a suffix in `model/name.rs`.

pub mod zip;
