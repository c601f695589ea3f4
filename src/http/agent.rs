// SPDX-License-Identifier: Apache-2.0
//! What all HTTP clients of the program have in common. Opens no connection.

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

/// How the program introduces itself to a server.
const USER_AGENT: &str = concat!("k3s-snapshot/", env!("CARGO_PKG_VERSION"));

/// The common configuration: no proxy, no redirects, a status is no error.
pub(crate) fn agent_config() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(USER_AGENT)
}
