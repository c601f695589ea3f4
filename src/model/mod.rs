// SPDX-License-Identifier: Apache-2.0
//! Values and decisions: names, snapshots, reports, retention. Pure: no file, no clock, no environment, no socket.

pub mod action;
pub mod bootstrap;
pub mod calendar;
pub mod command;
pub mod digest;
pub(crate) mod drop_in;
pub mod event;
pub mod manifest;
pub mod method;
pub(crate) mod mounts;
pub mod name;
pub mod report;
pub mod restore;
pub mod restore_report;
pub mod retention;
pub mod runbook;
pub mod s3_config;
pub mod secret;
pub mod snapshot;
pub mod state;
pub mod token;
pub mod unit;
pub mod version;
pub mod warning;
