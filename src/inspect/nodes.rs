// SPDX-License-Identifier: Apache-2.0
//! Node objects, as far as somebody has to know which machines belong to a cluster and how to reach them.
//!
//! Tolerant: what cannot be read is absent. Nothing here is proven, it is what the objects say.

use serde::Serialize;

/// A machine of the cluster, as its Node object tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The version of its kubelet, for instance `v1.30.4+k3s1`.
    pub version: Option<String>,
    /// Where it is reached.
    pub addresses: Vec<Address>,
    /// Its labels say that it is a server with an API server.
    pub control_plane: bool,
    /// Its labels say that it is a server with etcd.
    pub etcd: bool,
}

/// One address of a Node object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// What kind: `InternalIP`, `ExternalIP`, `Hostname`.
    pub kind: String,
    /// The address.
    pub address: String,
}
