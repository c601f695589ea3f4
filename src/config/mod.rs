// SPDX-License-Identifier: Apache-2.0
//! The settings of a run: read as layers from several sources, merged, and validated into types.
//!
//! Lowest precedence first: built-in defaults; the variables of the K3s service, variables of K3s in our environment, the
//! config.yaml of K3s and its drop-ins, the arguments of the K3s service; our configuration and its drop-ins; credentials of
//! systemd; our environment; flags.
//!
//! ```text
//! paths, options, yaml -> layer -> value -> unit -> k3s, detect -> load -> s3_files -> credentials -> s3, retention, etcd, kit -> settings -> config_secret, show, agreement, machine_paths, kit_content, rebuild
//! ```

mod agreement;
pub(crate) mod config_secret;
mod credentials;
mod detect;
mod endpoint;
pub(crate) mod etcd;
mod etcd_quota;
mod files;
pub(crate) mod k3s;
mod k3s_tests;
mod kit;
mod kit_content;
pub mod layer;
pub mod load;
mod machine_paths;
mod monitoring;
pub mod options;
mod own_file;
pub(crate) mod paths;
mod rebuild;
pub mod retention;
mod s3;
mod s3_files;
pub(crate) mod settings;
pub(crate) mod show;
pub mod unit;
pub(crate) mod value;
mod yaml;

pub(crate) use yaml::parse as parse_yaml;
