// SPDX-License-Identifier: Apache-2.0
//! k3s-snapshot
pub mod error;
pub mod inspect;
