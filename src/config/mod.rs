// SPDX-License-Identifier: Apache-2.0
//! Settings from all their sources: gathered as fragments, laid over one another, validated into types.
//!
//! Later wins: built-in defaults; K3s's variables, its config.yaml and drop-ins, the arguments in its unit; ours and its
//! drop-ins; the environment; flags.

mod bucket;
mod distribution;
mod endpoint;
pub mod etcd;
pub mod fragment;
pub mod key;
pub mod load;
pub mod retention;
pub mod settings;
pub mod unit;
pub mod yaml;
