// SPDX-License-Identifier: Apache-2.0
//! The whole proof of a plain snapshot: checksum and walk side by side, on two threads over the same bytes.

use anyhow::{Result, anyhow};

use crate::host::Progress;
use crate::inspect::{self, CheckResult, Digests, Finding};
use crate::io::ReadAt;

/// What the examination of a snapshot's bytes gave.
pub(super) struct Examined {
    /// SHA-256 of the file and of the database in it.
    pub(super) digests: Option<Digests>,
    /// The walk's result; `None` where it was not asked for or made no sense.
    pub(super) proof: Option<CheckResult>,
    /// Everything found wrong, in words.
    pub(super) findings: Vec<String>,
}

/// Reads everything. With `quick` only the checksum is compared.
pub(super) fn examine(data: &dyn ReadAt, quick: bool, progress: &dyn Progress) -> Result<Examined> {
    let db_len = match inspect::database_len(data.size()) {
        Ok(len) => len,
        Err(finding) => {
            let digests = inspect::hash(data, data.size(), &mut |n| progress.advance(n))?;
            return Ok(Examined { digests: Some(digests), proof: None, findings: vec![word(&finding)] });
        }
    };
    let (digests, proof) = std::thread::scope(|scope| {
        let walk = (!quick).then(|| scope.spawn(|| inspect::verify(data, db_len)));
        let digests = inspect::hash(data, db_len, &mut |n| progress.advance(n));
        let proof = walk.map(|w| w.join().map_err(|_| anyhow!("the walk died")).and_then(|r| r)).transpose();
        (digests, proof)
    });
    let (digests, proof) = (digests?, proof?);
    let mut findings: Vec<String> = Vec::new();
    if let Err(finding) = inspect::check_trailer(&digests.database, &inspect::trailer(data, db_len)?) {
        findings.push(word(&finding));
    }
    if let Some(proof) = &proof {
        findings.extend(words(proof));
    }
    Ok(Examined { digests: Some(digests), proof, findings })
}

/// A finding as text, with its label: the word that k3s-snapshot-verify(8) explains.
fn word(finding: &Finding) -> String {
    format!("{finding} [{}]", finding.check.as_str())
}

/// A proof's findings as text.
pub(super) fn words(proof: &CheckResult) -> Vec<String> {
    let mut all: Vec<String> = proof.findings.iter().map(word).collect();
    if proof.more > 0 {
        all.push(format!("and {} more", proof.more));
    }
    all
}
