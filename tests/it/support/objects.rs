// SPDX-License-Identifier: Apache-2.0
//! Keys and values as Kubernetes and K3s put them into etcd: as many as needed, in the right form, the same in every run.
//! The content is invented; the bootstrap value has the form of K3s but cannot be decrypted.

use super::etcd::Etcd;
use etcd_client::{Error, Txn, TxnOp};
use sha2::{Digest, Sha256};

/// The uid that `Etcd::bootstrap` gives to the namespace kube-system: the identity of a cluster.
pub(crate) const CLUSTER_UID: &str = "6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11";

/// The key under which K3s keeps its authorities, for the password of a token.
pub(crate) fn bootstrap_key(password: &str) -> String {
    let digest = Sha256::digest(password.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("/bootstrap/{hex}")
}

/// A field of a protobuf message that holds bytes, text or another message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

/// An object as the API server stores it: `k8s\0` and a runtime.Unknown around the object, here only its metadata,
/// with `filler` as an annotation.
pub(crate) fn object(kind: &str, namespace: &str, name: &str, uid: &str, filler: &str) -> Vec<u8> {
    let annotation = [field(1, b"example.com/filler"), field(2, filler.as_bytes())].concat();
    let metadata = [
        field(1, name.as_bytes()),
        if namespace.is_empty() { Vec::new() } else { field(3, namespace.as_bytes()) },
        field(5, uid.as_bytes()),
        if filler.is_empty() { Vec::new() } else { field(12, &annotation) },
    ]
    .concat();
    let type_meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
    let unknown =
        [field(1, &type_meta), field(2, &field(1, &metadata)), field(3, b""), field(4, b"")].concat();
    [b"k8s\0".to_vec(), unknown].concat()
}

/// A Secret or ConfigMap of the namespace kube-system with these values, as the API server stores it.
pub(crate) fn data_object(kind: &str, name: &str, data: &[(&str, &[u8])]) -> Vec<u8> {
    let metadata = [field(1, name.as_bytes()), field(3, b"kube-system"), field(5, b"1-2-3")].concat();
    let entries =
        data.iter().map(|(key, value)| field(2, &[field(1, key.as_bytes()), field(2, value)].concat()));
    let object = [field(1, &metadata), entries.collect::<Vec<_>>().concat()].concat();
    let type_meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, &object), field(3, b""), field(4, b"")].concat()
}

/// Text of this length that compresses about as well as objects of Kubernetes; the same for the same seed.
pub(crate) fn filler(seed: u64, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(char::from(LETTERS[(state >> 58) as usize]));
    }
    text
}

impl Etcd {
    /// Puts `n` pods of about `bytes` bytes, a hundred in a transaction.
    pub(crate) fn fill(&self, n: usize, bytes: usize) {
        self.try_fill(n, bytes).unwrap();
    }

    /// The same, until etcd refuses.
    pub(crate) fn try_fill(&self, n: usize, bytes: usize) -> Result<(), Error> {
        // etcd takes at most 128 operations and 1.5 MiB in one request.
        let batch = (1_000_000 / bytes.max(1)).clamp(1, 100);
        self.try_client(self.root.certs().mutual(), async |client| {
            for start in (0..n).step_by(batch) {
                let ops: Vec<TxnOp> = (start..n.min(start + batch)).map(|i| pod(i, bytes)).collect();
                client.txn(Txn::new().and_then(ops)).await?;
            }
            Ok(())
        })
    }

    /// Puts what identifies a cluster: the bootstrap key for this password, and the namespace kube-system.
    pub(crate) fn bootstrap(&self, password: &str) {
        let value = format!("{:016x}:{}", 0x5a17_u64, filler(7, 12_288));
        let namespace = object("Namespace", "", "kube-system", CLUSTER_UID, "");
        self.client(async |client| {
            client.put(bootstrap_key(password), value, None).await?;
            client.put("/registry/namespaces/kube-system", namespace, None).await
        });
    }

    /// Writes until etcd refuses because its quota is full; needs a small `quota-backend-bytes`.
    pub(crate) fn fill_until_refused(&self) {
        let refusal = (0..100).find_map(|_| self.try_fill(100, 10_000).err()).expect("no quota was reached");
        assert!(refusal.to_string().contains("database space exceeded"), "{refusal}");
    }
}

fn pod(i: usize, bytes: usize) -> TxnOp {
    let (namespace, name) = (format!("ns-{:02}", i % 20), format!("pod-{i:07}"));
    let uid = format!("00000000-0000-4000-8000-{i:012x}");
    let value = object("Pod", &namespace, &name, &uid, &filler(i as u64 + 1, bytes.saturating_sub(120)));
    TxnOp::put(format!("/registry/pods/{namespace}/{name}"), value, None)
}
