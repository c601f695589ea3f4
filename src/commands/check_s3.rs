// SPDX-License-Identifier: Apache-2.0
//! check-s3: tests access to the bucket, step by step.

use anyhow::Result;

use crate::error::{Code, Fault};
use crate::model::report::{Check, Report};

/// Reports the checks of the bucket at `url`.
///
/// # Errors
/// [`Code::S3CheckFailed`] if a check failed.
pub fn run(checks: Vec<Check>, url: &str, report: &mut Report) -> Result<()> {
    report.checks = checks;
    let failed = report.checks.iter().filter(|c| !c.ok).count();
    match failed {
        0 => Ok(()),
        n => {
            let what = format!("{n} of {} checks of '{url}' failed", report.checks.len());
            Err(Fault::new(Code::S3CheckFailed, what).into())
        }
    }
}
