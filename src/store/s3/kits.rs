// SPDX-License-Identifier: Apache-2.0
//! The sealed recovery kits in a bucket. They are in the metadata directory, next to the manifests: K3s takes every object outside
//! of it for a snapshot.

use anyhow::Result;
use ureq::http::Method;

use super::bucket::S3;
use super::delete::delete_keys;
use super::error::S3ErrorKind;
use super::headers::customer_key;
use super::layout::{METADATA_DIR, is_plain};
use super::list::for_each_object;
use super::manifest::put_small;
use super::object::head_or_none;
use super::request::{Payload, S3Request};
use crate::error::{Code, Fault};
use crate::model::kit::{KitName, KitNeeds, StoredKit};
use crate::store::kits::{KitStore, MAX_SIZE, ensure_bytes};
use crate::store::traits::RemoteStore;

impl S3 {
    fn kit_key(&self, name: &KitName) -> String {
        self.client.bucket.key(&format!("{METADATA_DIR}/{name}"))
    }
}

impl KitStore for S3 {
    fn kits(&self) -> Result<Vec<StoredKit>> {
        let dir = self.client.bucket.key(&format!("{METADATA_DIR}/"));
        let mut kits = Vec::new();
        for_each_object(&self.client, &format!("{dir}{}", KitName::PREFIX), None, &mut |object| {
            let name = object.key.strip_prefix(&dir).filter(|file| is_plain(file)).and_then(KitName::parse);
            kits.extend(name.map(|name| StoredKit { name, modified: object.modified, size: object.size }));
            Ok(())
        })
        .map_err(|e| e.error(&format!("listing the kits in '{}'", self.url())))?;
        Ok(kits)
    }

    fn read_kit(&self, name: &KitName) -> Result<Option<Vec<u8>>> {
        let request = customer_key(S3Request::new(Method::GET, self.kit_key(name)), &self.client.bucket);
        match self.client.read(&request, Payload::None, MAX_SIZE) {
            Ok((_, sealed)) => {
                ensure_bytes(name, &sealed, &self.url())?;
                Ok(Some(sealed))
            }
            Err(e) if e.kind == S3ErrorKind::Missing => Ok(None),
            Err(e) => Err(e.error(&self.operation("reading the kit", &name.to_string()))),
        }
    }

    fn has_kit(&self, name: &KitName) -> Result<bool> {
        let head = head_or_none(&self.client, &self.kit_key(name))
            .map_err(|e| e.error(&self.operation("looking at the kit", &name.to_string())))?;
        Ok(head.is_some())
    }

    fn write_kit(&self, name: &KitName, sealed: &[u8]) -> Result<()> {
        self.forget_index();
        let request = S3Request::new(Method::PUT, self.kit_key(name));
        put_small(&self.client, request, "application/octet-stream", sealed)
            .map_err(|e| e.error(&self.operation("writing the kit", &name.to_string())))
    }

    fn delete_kit(&self, name: &KitName) -> Result<()> {
        delete_keys(&self.client, &[self.kit_key(name)])
            .map(drop)
            .map_err(|e| e.error(&self.operation("deleting the kit", &name.to_string())))
    }

    /// By the manifests of all snapshots, each of which is read.
    fn needs(&self) -> Result<KitNeeds> {
        let listing = self.list_with_manifests()?;
        let unknown = |what: &str| Fault::new(Code::ListingIncomplete, format!("{what} '{}'", self.url()));
        if !listing.complete || !listing.manifests_readable {
            return Err(unknown("not every manifest can be read in").into());
        }
        let mut needs = KitNeeds::default();
        for snapshot in listing.snapshots.iter().filter(|s| s.name.is_some()) {
            match snapshot.manifest.as_ref().and_then(|manifest| manifest.kit.clone()) {
                Some(kit) => drop(needs.named.insert(kit)),
                None => needs.unnamed.push(snapshot.created_at),
            }
        }
        Ok(needs)
    }
}
