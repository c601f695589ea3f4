// SPDX-License-Identifier: Apache-2.0
//! Reads single objects from a running etcd.

use anyhow::Result;
use etcd_client::GetOptions;
use tokio::time::timeout;

use super::connection::{EtcdStream, QUORUM_TIMEOUT, STATUS_TIMEOUT, runtime};
use super::error::describe;
use crate::source::ClusterObjects;

impl ClusterObjects for EtcdStream {
    /// Needs no quorum: the bucket is needed most when a cluster has none. With one, the value is the newest.
    fn object(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let tls = self.tls()?;
        runtime()?.block_on(async {
            let (mut client, endpoint) = self.connect_any(&tls).await?;
            match timeout(QUORUM_TIMEOUT, client.get(key, None)).await {
                Ok(Ok(answer)) => return Ok(answer.kvs().first().map(|kv| kv.value().to_vec())),
                Ok(Err(e)) => log::debug!("reading an object from etcd at {endpoint}: {}", describe(&e)),
                Err(_) => log::debug!("reading an object from etcd at {endpoint}: no quorum answered"),
            }
            let options = GetOptions::new().with_serializable();
            let answer = timeout(STATUS_TIMEOUT, client.get(key, Some(options)))
                .await
                .map_err(|_| self.no_answer(&endpoint))?
                .map_err(|e| self.explain(&endpoint, &e))?;
            Ok(answer.kvs().first().map(|kv| kv.value().to_vec()))
        })
    }
}
