// SPDX-License-Identifier: Apache-2.0
//! Settings from all their sources: gathered as fragments, laid over one another, validated into types.
//!
//! Later wins: built-in defaults; K3s's variables, its config.yaml and drop-ins, the arguments in its unit; ours and its
//! drop-ins; the environment; flags.

mod detect;
mod endpoint;
pub mod etcd;
pub mod layer;
pub mod load;
pub mod options;
pub mod retention;
mod s3;
pub mod settings;
pub mod unit;
pub mod yaml;
