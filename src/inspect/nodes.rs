// SPDX-License-Identifier: Apache-2.0
//! Node objects, as far as somebody has to know which machines belong to a cluster and how to reach them.
//!
//! Tolerant: what cannot be read is absent. Nothing here is proven, it is what the objects say.

use serde::Serialize;
use serde_json::Value;

use super::facts::word;
use super::proto;

/// Where Kubernetes keeps its Node objects.
const PREFIX: &[u8] = b"/registry/minions/";
/// A node has an address or three.
const ADDRESSES: usize = 32;
/// The labels of servers; `master` up to Kubernetes 1.23.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
const ETCD: &str = "node-role.kubernetes.io/etcd";

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

/// The name of the node whose object has this key.
pub(super) fn name(key: &[u8]) -> Option<String> {
    key.strip_prefix(PREFIX).and_then(long_word)
}

/// What the object of a node says: protobuf behind a magic, or JSON.
pub(super) fn node(name: String, object: &[u8]) -> Node {
    let mut node = Node { name, version: None, addresses: Vec::new(), control_plane: false, etcd: false };
    // As far as it goes.
    let _ = match object.strip_prefix(b"k8s\0") {
        Some(unknown) => node.fill(unknown),
        None => node.fill_json(object),
    };
    node
}

impl Node {
    fn fill(&mut self, unknown: &[u8]) -> Option<()> {
        let object = proto::field(unknown, 2)?;
        if let Some(metadata) = proto::field(object, 1) {
            proto::fields(metadata, 11).for_each(|label| self.label(proto::field(label, 1)));
        }
        let status = proto::field(object, 3)?;
        for address in proto::fields(status, 5) {
            self.address(proto::field(address, 1), proto::field(address, 2));
        }
        self.version = proto::field(proto::field(status, 7)?, 7).and_then(word);
        Some(())
    }

    fn fill_json(&mut self, object: &[u8]) -> Option<()> {
        let object: Value = serde_json::from_slice(object).ok()?;
        let at = |path: &str| object.pointer(path);
        for key in at("/metadata/labels").and_then(Value::as_object).into_iter().flat_map(|l| l.keys()) {
            self.label(Some(key.as_bytes()));
        }
        for address in at("/status/addresses").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| Some(address.get(key)?.as_str()?.as_bytes());
            self.address(text("type"), text("address"));
        }
        let version = at("/status/nodeInfo/kubeletVersion").and_then(Value::as_str);
        self.version = version.and_then(|version| word(version.as_bytes()));
        Some(())
    }

    /// As kubectl reads roles: a label that is there counts, whatever its value.
    fn label(&mut self, key: Option<&[u8]>) {
        self.control_plane |= CONTROL_PLANE.iter().any(|label| key == Some(label.as_bytes()));
        self.etcd |= key == Some(ETCD.as_bytes());
    }

    fn address(&mut self, kind: Option<&[u8]>, address: Option<&[u8]>) {
        if let (Some(kind), Some(address)) = (kind.and_then(word), address.and_then(long_word))
            && self.addresses.len() < ADDRESSES
        {
            self.addresses.push(Address { kind, address });
        }
    }
}

/// A word as long as a name may be in the DNS.
fn long_word(bytes: &[u8]) -> Option<String> {
    let fits = (1..=253).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8][..], content].concat()
    }

    /// A node as kubelet and K3s make it, without what is not read.
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
        let address = |kind: &str, address: &str| Address { kind: kind.into(), address: address.into() };
        Node {
            name: "server-1".into(),
            version: Some("v1.30.4+k3s1".into()),
            addresses: vec![address("InternalIP", "10.0.0.1"), address("Hostname", "server-1")],
            control_plane: true,
            etcd: true,
        }
    }

    #[test]
    fn a_node_from_protobuf_and_from_json() {
        assert_eq!(node("server-1".into(), &stored()), wanted());
        let json = br#"{"kind":"Node","metadata":{"labels":{"node-role.kubernetes.io/master":"true",
            "node-role.kubernetes.io/etcd":"true","x":"y"}},"status":{"addresses":[{"type":"InternalIP","address":
            "10.0.0.1"},{"type":"Hostname","address":"server-1"}],"nodeInfo":{"kubeletVersion":"v1.30.4+k3s1"}}}"#;
        assert_eq!(node("server-1".into(), json), wanted());
        let agent = node("a".into(), br#"{"metadata":{},"status":{"addresses":[]}}"#);
        assert!(!agent.etcd && !agent.control_plane && agent.version.is_none());
    }

    #[test]
    fn names_come_from_the_key_and_are_words() {
        assert_eq!(name(b"/registry/minions/server-1").as_deref(), Some("server-1"));
        for key in [&b"/registry/minions/"[..], b"/registry/minions/a\nb", b"/registry/pods/x", b""] {
            assert_eq!(name(key), None);
        }
        assert_eq!(name(&[PREFIX, &[b'a'; 254]].concat()), None);
    }

    /// Whatever is cut or flipped: a node with its name, and nothing that is no word.
    #[test]
    fn damage_takes_away_and_never_panics() {
        let whole = stored();
        for cut in 0..whole.len() {
            assert_eq!(node("n".into(), &whole[..cut]).name, "n");
        }
        for at in 4..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let node = node("n".into(), &flipped);
                let words = node.addresses.iter().flat_map(|a| [&a.kind, &a.address]).chain(&node.version);
                assert!(words.into_iter().all(|w| w.bytes().all(|b| b.is_ascii_graphic())));
            }
        }
        for rubbish in [&b""[..], b"k8s\0", b"k8s:enc:aescbc:v1:x", b"{", b"[1]", b"null"] {
            assert_eq!(node("n".into(), rubbish).version, None);
        }
    }
}
