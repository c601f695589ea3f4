// SPDX-License-Identifier: Apache-2.0
//! One run: parse, log, settings, lock, command, report, exit code. The only layer that names concrete adapters.

mod check_s3;
mod command;
mod config_secret;
mod context;
mod delete;
pub mod dispatch;
mod fetch;
pub mod generator;
mod keys;
mod kit;
mod list;
mod live_datastore;
mod manual_restore;
mod metrics;
mod pings;
mod prune;
mod rebuild;
mod restore;
mod run;
mod save;
mod status;
mod verify;
