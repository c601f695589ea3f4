// SPDX-License-Identifier: Apache-2.0
//! What the HTTP clients of the program share: settings, the proxy of the environment, the certificate authorities of the
//! system.

mod agent;
mod proxy;
mod roots;

pub(crate) use agent::agent_config;
pub(crate) use proxy::{from_variables, is_loopback};
pub(crate) use roots::{certificates, system_roots};
