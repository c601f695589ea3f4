// SPDX-License-Identifier: Apache-2.0
//! Node objects: the machines of a cluster and their addresses.
//!
//! Tolerant: a field that cannot be read is absent. Nothing is verified; these are the values in the objects.

use serde::Serialize;
use serde_json::Value;

use super::proto::{self, printable_text};

/// The prefix of the keys of Node objects.
const PREFIX: &[u8] = b"/registry/minions/";
/// The most addresses of a node that are read. Real nodes have one to three.
const MAX_ADDRESSES: usize = 32;
/// The longest version, in bytes.
const MAX_VERSION: usize = 64;
/// The longest name in the DNS, in bytes.
const MAX_NAME: usize = 253;
/// The labels of servers with an API server; `master` up to Kubernetes 1.23.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
const ETCD: &str = "node-role.kubernetes.io/etcd";

/// A machine of the cluster, from its Node object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The name of the node.
    pub name: String,
    /// The version of its kubelet, for instance `v1.30.4+k3s1`.
    pub version: Option<String>,
    /// Its addresses, in the order of the object.
    pub addresses: Vec<Address>,
    /// Whether its labels are those of a server with an API server.
    pub control_plane: bool,
    /// Whether its labels are those of a server with etcd.
    pub etcd: bool,
}

/// One address of a Node object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Its kind.
    pub kind: AddressKind,
    /// The address.
    pub address: String,
}

/// The kind of an address, as Kubernetes names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AddressKind {
    /// `InternalIP`
    #[serde(rename = "InternalIP")]
    InternalIp,
    /// `ExternalIP`
    #[serde(rename = "ExternalIP")]
    ExternalIp,
    /// `Hostname`: the name that the kubelet uses, which often cannot be resolved.
    Hostname,
    /// Another kind, for instance `InternalDNS`.
    Other,
}

impl AddressKind {
    fn parse(text: &[u8]) -> AddressKind {
        match text {
            b"InternalIP" => AddressKind::InternalIp,
            b"ExternalIP" => AddressKind::ExternalIp,
            b"Hostname" => AddressKind::Hostname,
            _ => AddressKind::Other,
        }
    }
}

/// The name of the node whose object has this key.
pub(crate) fn node_name(key: &[u8]) -> Option<String> {
    printable_text(key.strip_prefix(PREFIX)?, MAX_NAME)
}

/// The key of the object of a node.
pub(crate) fn node_key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

/// Reads the object of a node: protobuf after a magic number, or JSON.
pub(crate) fn read_node(name: String, object: &[u8]) -> Node {
    let mut node = Node { name, version: None, addresses: Vec::new(), control_plane: false, etcd: false };
    // A malformed object gives a node with what was read up to the error.
    let _ = match object.strip_prefix(b"k8s\0") {
        Some(unknown) => node.fill_protobuf(unknown),
        None => node.fill_json(object),
    };
    node
}

impl Node {
    fn fill_protobuf(&mut self, unknown: &[u8]) -> Option<()> {
        let object = proto::field(unknown, 2)?;
        if let Some(metadata) = proto::field(object, 1) {
            proto::fields(metadata, 11).for_each(|label| self.add_label(proto::field(label, 1)));
        }
        let status = proto::field(object, 3)?;
        for address in proto::fields(status, 5) {
            self.add_address(proto::field(address, 1), proto::field(address, 2));
        }
        self.version =
            proto::field(proto::field(status, 7)?, 7).and_then(|text| printable_text(text, MAX_VERSION));
        Some(())
    }

    fn fill_json(&mut self, object: &[u8]) -> Option<()> {
        let object: Value = serde_json::from_slice(object).ok()?;
        let at = |path: &str| object.pointer(path);
        for key in at("/metadata/labels").and_then(Value::as_object).into_iter().flat_map(|l| l.keys()) {
            self.add_label(Some(key.as_bytes()));
        }
        for address in at("/status/addresses").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| Some(address.get(key)?.as_str()?.as_bytes());
            self.add_address(text("type"), text("address"));
        }
        let version = at("/status/nodeInfo/kubeletVersion").and_then(Value::as_str);
        self.version = version.and_then(|version| printable_text(version.as_bytes(), MAX_VERSION));
        Some(())
    }

    /// As kubectl reads roles: a label counts whatever its value is.
    fn add_label(&mut self, key: Option<&[u8]>) {
        self.control_plane |= CONTROL_PLANE.iter().any(|label| key == Some(label.as_bytes()));
        self.etcd |= key == Some(ETCD.as_bytes());
    }

    fn add_address(&mut self, kind: Option<&[u8]>, address: Option<&[u8]>) {
        let address = address.and_then(|address| printable_text(address, MAX_NAME));
        if let (Some(kind), Some(address)) = (kind.map(AddressKind::parse), address)
            && self.addresses.len() < MAX_ADDRESSES
        {
            self.addresses.push(Address { kind, address });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8][..], content].concat()
    }

    /// A node as the kubelet and K3s store it, without the fields that are not read.
    fn stored() -> Vec<u8> {
        let label = |key: &str| field(11, &[field(1, key.as_bytes()), field(2, b"true")].concat());
        let address = |kind: &str, address: &str| {
            field(5, &[field(1, kind.as_bytes()), field(2, address.as_bytes())].concat())
        };
        let metadata = [field(1, b"server-1"), label(ETCD), label(CONTROL_PLANE[0])].concat();
        let info = field(7, &[field(1, b"4c4c"), field(7, b"v1.30.4+k3s1")].concat());
        let status = [address("InternalIP", "10.0.0.1"), address("Hostname", "server-1"), info].concat();
        // More than 127 bytes: the length takes two.
        let long = |number: u8, content: &[u8]| {
            let len = content.len();
            [&[number << 3 | 2, len as u8 | 0x80, (len >> 7) as u8][..], content].concat()
        };
        let object = [long(1, &metadata), field(2, b""), field(3, &status)].concat();
        let meta = [field(1, b"v1"), field(2, b"Node")].concat();
        [b"k8s\0".to_vec(), field(1, &meta), long(2, &object), field(3, b""), field(4, b"")].concat()
    }

    fn wanted() -> Node {
        let address = |kind, address: &str| Address { kind, address: address.into() };
        Node {
            name: "server-1".into(),
            version: Some("v1.30.4+k3s1".into()),
            addresses: vec![
                address(AddressKind::InternalIp, "10.0.0.1"),
                address(AddressKind::Hostname, "server-1"),
            ],
            control_plane: true,
            etcd: true,
        }
    }

    #[test]
    fn nodes_are_read_from_protobuf_and_from_json() {
        assert_eq!(read_node("server-1".into(), &stored()), wanted());
        let json = br#"{"kind":"Node","metadata":{"labels":{"node-role.kubernetes.io/master":"true",
            "node-role.kubernetes.io/etcd":"true","x":"y"}},"status":{"addresses":[{"type":"InternalIP","address":
            "10.0.0.1"},{"type":"Hostname","address":"server-1"}],"nodeInfo":{"kubeletVersion":"v1.30.4+k3s1"}}}"#;
        assert_eq!(read_node("server-1".into(), json), wanted());
        let agent = read_node("a".into(), br#"{"metadata":{},"status":{"addresses":[]}}"#);
        assert!(!agent.etcd && !agent.control_plane && agent.version.is_none());
    }

    #[test]
    fn names_come_from_the_key_and_are_printable() {
        assert_eq!(node_name(b"/registry/minions/server-1").as_deref(), Some("server-1"));
        for key in [&b"/registry/minions/"[..], b"/registry/minions/a\nb", b"/registry/pods/x", b""] {
            assert_eq!(node_name(key), None);
        }
        assert_eq!(node_name(&[PREFIX, &[b'a'; 254]].concat()), None);
    }

    /// Whatever is cut or flipped, the result is a node with its name and printable fields.
    #[test]
    fn a_damaged_object_lacks_fields_and_never_panics() {
        let whole = stored();
        for cut in 0..whole.len() {
            assert_eq!(read_node("n".into(), &whole[..cut]).name, "n");
        }
        for at in 4..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let node = read_node("n".into(), &flipped);
                let texts = node.addresses.iter().map(|a| &a.address).chain(&node.version);
                assert!(texts.into_iter().all(|t| t.bytes().all(|b| b.is_ascii_graphic())));
            }
        }
        for rubbish in [&b""[..], b"k8s\0", b"k8s:enc:aescbc:v1:x", b"{", b"[1]", b"null"] {
            assert_eq!(read_node("n".into(), rubbish).version, None);
        }
    }
}
