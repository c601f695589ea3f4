// SPDX-License-Identifier: Apache-2.0
//! The data of Secrets and ConfigMaps of the namespace kube-system, as the API server stores them in etcd: protobuf after a
//! magic number, or JSON; perhaps encrypted.
//!
//! No value is ever shown: the types here have no `Display`, and their `Debug` has names only.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::proto::Message;

/// What the API server writes before a value that it has encrypted.
const ENCRYPTED: &[u8] = b"k8s:enc:";
/// What the API server writes before a value that is not encrypted.
const PROTOBUF: &[u8] = b"k8s\0";
/// The namespace.
const NAMESPACE: &str = "kube-system";

/// The kinds of objects that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

/// The data of an object.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ObjectData {
    /// `data`: the values of a Secret, the texts of a ConfigMap.
    pub data: BTreeMap<String, Vec<u8>>,
    /// `binaryData` of a ConfigMap.
    pub binary: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for ObjectData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.data.keys().chain(self.binary.keys())).finish()
    }
}

/// Why an object cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is encrypted (`secrets-encryption`), with a key that is not in etcd.
    Encrypted,
    /// It is not an object of this kind and name.
    Malformed,
}

impl ObjectKind {
    /// The key in etcd of the object of this name in the namespace kube-system.
    pub fn key(self, name: &str) -> Vec<u8> {
        let resource = match self {
            ObjectKind::Secret => "secrets",
            ObjectKind::ConfigMap => "configmaps",
        };
        format!("/registry/{resource}/{NAMESPACE}/{name}").into_bytes()
    }

    /// Reads the object of this name as it is stored.
    ///
    /// # Errors
    /// If it is encrypted, or is no whole object of this name.
    pub fn read(self, name: &str, stored: &[u8]) -> Result<ObjectData, Unreadable> {
        if stored.starts_with(ENCRYPTED) {
            return Err(Unreadable::Encrypted);
        }
        let read = match stored.strip_prefix(PROTOBUF) {
            Some(unknown) => self.read_protobuf(name, unknown),
            None => self.read_json(name, stored),
        };
        read.ok_or(Unreadable::Malformed)
    }

    fn read_protobuf(self, name: &str, unknown: &[u8]) -> Option<ObjectData> {
        let unknown = Message::parse(unknown)?;
        let object = Message::parse(unknown.last(2)?)?;
        let metadata = Message::parse(object.last(1)?)?;
        let is_it =
            metadata.last(1) == Some(name.as_bytes()) && metadata.last(3) == Some(NAMESPACE.as_bytes());
        let map = |number: u64| {
            object.all(number).map(|entry| {
                let entry = Message::parse(entry)?;
                let key = String::from_utf8(entry.last(1).unwrap_or_default().to_vec()).ok()?;
                Some((key, entry.last(2).unwrap_or_default().to_vec()))
            })
        };
        let data = map(2).collect::<Option<_>>()?;
        let binary = match self {
            ObjectKind::Secret => BTreeMap::new(),
            ObjectKind::ConfigMap => map(3).collect::<Option<_>>()?,
        };
        is_it.then_some(ObjectData { data, binary })
    }

    fn read_json(self, name: &str, stored: &[u8]) -> Option<ObjectData> {
        let object: Value = serde_json::from_slice(stored).ok()?;
        let metadata = |field: &str| object.get("metadata")?.get(field)?.as_str();
        let is_it = metadata("name") == Some(name) && metadata("namespace") == Some(NAMESPACE);
        let map = |field: &str, is_base64: bool| match object.get(field) {
            None | Some(Value::Null) => Some(BTreeMap::new()),
            Some(Value::Object(entries)) => {
                let value = |text: &str| match is_base64 {
                    true => STANDARD.decode(text).ok(),
                    false => Some(text.as_bytes().to_vec()),
                };
                entries.iter().map(|(k, v)| Some((k.clone(), value(v.as_str()?)?))).collect()
            }
            Some(_) => None,
        };
        let data = map("data", self == ObjectKind::Secret)?;
        let binary = map("binaryData", true)?;
        is_it.then_some(ObjectData { data, binary })
    }
}

/// Objects that were asked for when a database was read: for each key its newest value, or none if it does not exist.
#[derive(Default)]
pub struct KeptObjects(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl KeptObjects {
    /// Asks for these keys.
    pub(super) fn of(keys: &[Vec<u8>]) -> KeptObjects {
        KeptObjects(keys.iter().map(|key| (key.clone(), None)).collect())
    }

    /// Whether one of the keys has this length.
    pub(super) fn has_key_of_length(&self, len: u64) -> bool {
        self.0.iter().any(|(key, _)| key.len() as u64 == len)
    }

    /// Where to keep the value of this key; `None` if it was not asked for.
    pub(super) fn slot(&mut self, key: &[u8]) -> Option<&mut Option<Vec<u8>>> {
        self.0.iter_mut().find(|(wanted, _)| wanted == key).map(|(_, value)| value)
    }

    /// What is known of a key: `None` if it was not asked for, `Some(None)` if it does not exist.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.0.iter().find(|(wanted, _)| wanted == key).map(|(_, value)| value.as_deref())
    }
}

/// Prints keys, never a value.
impl fmt::Debug for KeptObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| String::from_utf8_lossy(key))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut len = content.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        [out, content.to_vec()].concat()
    }

    fn entry(number: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
        field(number, &[field(1, key), field(2, value)].concat())
    }

    fn stored(name: &str, fields: &[Vec<u8>]) -> Vec<u8> {
        let metadata = field(1, &[field(1, name.as_bytes()), field(3, b"kube-system")].concat());
        let object = [metadata, fields.concat()].concat();
        [b"k8s\0".to_vec(), field(1, b""), field(2, &object), field(3, b"")].concat()
    }

    fn map(pairs: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect()
    }

    #[test]
    fn secrets_and_config_maps_are_read_from_protobuf_and_from_json() {
        let secret = stored("s", &[entry(2, b"a", b"1\xff"), entry(2, b"b", b""), field(3, b"Opaque")]);
        let read = ObjectKind::Secret.read("s", &secret).unwrap();
        assert_eq!((read.data, read.binary), (map(&[("a", b"1\xff"), ("b", b"")]), map(&[])));
        let config = stored("c", &[entry(2, b"a", b"1"), entry(3, b"z", &[7; 300])]);
        let read = ObjectKind::ConfigMap.read("c", &config).unwrap();
        assert_eq!((read.data, read.binary), (map(&[("a", b"1")]), map(&[("z", &[7; 300])])));
        let json = br#"{"metadata":{"name":"s","namespace":"kube-system"},"data":{"a":"Mf8="}}"#;
        assert_eq!(ObjectKind::Secret.read("s", json).unwrap().data, map(&[("a", b"1\xff")]));
        let json = br#"{"metadata":{"name":"c","namespace":"kube-system"},"data":{"a":"1"},"binaryData":{"z":"Bw=="}}"#;
        let read = ObjectKind::ConfigMap.read("c", json).unwrap();
        assert_eq!((read.data, read.binary), (map(&[("a", b"1")]), map(&[("z", b"\x07")])));
        // Without data.
        assert_eq!(ObjectKind::Secret.read("s", &stored("s", &[])).unwrap(), ObjectData::default());
    }

    #[test]
    fn an_encrypted_object_a_malformed_one_and_another_one_are_refused() {
        let read = |stored: &[u8]| ObjectKind::Secret.read("s", stored).unwrap_err();
        assert_eq!(read(b"k8s:enc:aescbc:v1:aescbckey:\x01\x02"), Unreadable::Encrypted);
        assert_eq!(read(b"k8s:enc:secretbox:v1:key:x"), Unreadable::Encrypted);
        let whole = stored("s", &[entry(2, b"a", b"1")]);
        for other in [&b""[..], b"k8s\0", b"{", b"[]", &stored("t", &[entry(2, b"a", b"1")])] {
            assert_eq!(read(other), Unreadable::Malformed);
        }
        // An object that ends early never reads as one with fewer values.
        for cut in 0..whole.len() - 2 {
            assert_eq!(read(&whole[..cut]), Unreadable::Malformed, "{cut}");
        }
    }

    #[test]
    fn no_value_is_printed() {
        let kept = KeptObjects(vec![(ObjectKind::Secret.key("s"), Some(b"geheim".to_vec()))]);
        let data = ObjectData { data: map(&[("a", b"geheim")]), binary: map(&[]) };
        assert_eq!(format!("{kept:?} {data:?}"), r#"["/registry/secrets/kube-system/s"] ["a"]"#);
    }
}
