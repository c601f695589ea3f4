// SPDX-License-Identifier: Apache-2.0
//! The judgement: names, snapshots, reports. Pure values and functions; no file, no clock, no environment, no socket.

pub mod bootstrap;
pub mod calendar;
pub mod drop_in;
pub mod event;
pub mod method;
pub mod name;
pub mod report;
pub mod restore;
pub mod restore_report;
pub mod retention;
pub mod runbook;
pub mod s3_config;
pub mod secret;
pub mod snapshot;
pub mod token;
pub mod unit;
pub mod version;
