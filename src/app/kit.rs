// SPDX-License-Identifier: Apache-2.0
//! Builds the actions on recovery kits from the settings.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::command::Command;
use super::context::Context;
use crate::archive::age::{Identities, for_paper, generate};
use crate::cli::{self, Common, KitAction, ReportFormat};
use crate::commands::kit::{Reading, VerifyRequest, open_kit, read_kit, verify};
use crate::config::paths::{OUR_CONFIG, in_root};
use crate::error::{Code, Fault};
use crate::host::fs::create_dir;
use crate::host::{Draft, Published};
use crate::model::command;
use crate::model::kit::{Kit, KitReport, KitSummary};
use crate::model::report::Report;
use crate::model::secret::Secret;
use crate::output::render;
use crate::store::s3::S3;
use crate::store::{KitStore, Store};

/// The drop-in of our configuration that `kit init` writes.
const DROP_IN: &str = "kit-recipients.yaml";
/// Bytes of a file with private keys, and of a kit.
const MAX_FILE: u64 = 16 << 20;

impl Command for cli::Kit {
    const NAME: command::Command = command::Command::Kit;

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(&self, cx: &Context, report: &mut Report) -> Result<()> {
        match self.action {
            Some(KitAction::Init) => init(self, cx, report),
            Some(KitAction::Show) => show(self, cx, report),
            Some(KitAction::Verify) | None => run_verify(self, cx, report),
        }
    }
}

/// The private keys of `--identity`: from a file or standard input, never from the command line.
pub(super) fn identities(file: Option<&str>) -> Result<Identities> {
    let file = file.ok_or_else(|| {
        Fault::new(Code::MissingArgument, "no identity was given")
            .hint("Give the file with the private key with --identity FILE, or - for standard input.")
    })?;
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|f| f.take(MAX_FILE).read_to_string(&mut text)),
    };
    read.with_context(|| {
        let what = format!("reading the identity file '{}'", file.escape_debug());
        Fault::new(Code::IdentityUnusable, what).hint("Check the path and its permissions.")
    })?;
    Identities::parse(&Secret::new(text))
}

fn run_verify(args: &cli::Kit, cx: &Context, report: &mut Report) -> Result<()> {
    let identities = identities(args.identity.as_deref())?;
    let s = cx.settings;
    // As verify: only if this command line sets it.
    let bucket = if s.s3 && args.s3.s3.is_some() { Some(cx.bucket()?) } else { None };
    if bucket.is_none() {
        cx.require_local_store()?;
    }
    let (store, local) = (cx.local_store(), cx.kits());
    let path = args.kit.as_deref().filter(|kit| kit.contains('/'));
    let opened = path.map(|path| open_file(path, &identities)).transpose()?;
    let name = path.and_then(|path| Path::new(path).file_name()?.to_str());
    let request = VerifyRequest {
        kit: name.or(args.kit.as_deref()),
        opened: opened.as_ref(),
        identities: &identities,
        store: bucket.as_ref().map_or(&store as &dyn Store, |b| b),
        kits: bucket.as_ref().map_or(&local as &dyn KitStore, |b| b),
        local: &local,
        recipients: &s.kit_recipients,
        reading: Reading { parallel: bucket.as_ref().map(S3::readers), scratch: &|size| cx.scratch(size) },
        now: cx.now,
    };
    verify(&request, cx.progress, report)
}

fn show(args: &cli::Kit, cx: &Context, report: &mut Report) -> Result<()> {
    let identities = identities(args.identity.as_deref())?;
    let local = cx.kits();
    let bucket = if cx.settings.s3 && args.s3.s3.is_some() { Some(cx.bucket()?) } else { None };
    let (name, kit) = match args.kit.as_deref() {
        Some(path) if path.contains('/') => (path.to_owned(), open_file(path, &identities)?),
        name => {
            let name = match name {
                Some(name) => name.to_owned(),
                None => local.sealed()?.map(|sealed| sealed.name).ok_or_else(|| {
                    Fault::new(Code::KitNotFound, "this machine has sealed no recovery kit")
                        .hint("Give the name of a kit and --s3, or the path of one.")
                })?,
            };
            let kits: &dyn KitStore = bucket.as_ref().map_or(&local as &dyn KitStore, |b| b);
            let kit = read_kit(kits, &name, &identities)?;
            (name, kit)
        }
    };
    report.kit =
        Some(KitReport { name: Some(name), content: Some(KitSummary::new(&kit)), ..KitReport::default() });
    Ok(())
}

/// Opens the kit in a file, whatever its name is.
pub(super) fn open_file(path: &str, identities: &Identities) -> Result<Kit> {
    let mut sealed = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut sealed)).with_context(
        || {
            let what = format!("reading the recovery kit '{}'", path.escape_debug());
            Fault::new(Code::KitNotFound, what).hint("Check the path and its permissions.")
        },
    )?;
    open_kit(&sealed, path, identities)
}

fn init(args: &cli::Kit, cx: &Context, report: &mut Report) -> Result<()> {
    if args.identity.is_none() && args.common.report == ReportFormat::Json {
        return Err(Fault::new(Code::InvalidArgument, "a report must not have the private key")
            .hint("Name the file for the private key with --identity FILE.")
            .into());
    }
    let main = in_root(&cx.settings.root, Path::new(OUR_CONFIG));
    let dir = PathBuf::from(format!("{}.d", main.display()));
    let target = dir.join(DROP_IN);
    if target.symlink_metadata().is_ok() {
        return Err(Fault::new(Code::FileExists, format!("'{}' exists: there is a pair of keys", target.display()))
            .hint("Use the public key in it, or remove the file first; older kits still need the older private key.")
            .into());
    }
    let (private, public) = generate();
    // First the private key: a recipient whose identity was never shown must not be configured.
    match args.identity.as_deref() {
        Some(file) => write_new(Path::new(file), &format!("# public key: {public}\n{}\n", private.expose()))?,
        None => {
            let paper = for_paper(&private);
            let text = format!(
                "The private key is shown only now. Keep it away from this machine:\n\n{}\n\nThe same for paper:\n\n{}\n\n",
                private.expose(),
                paper.expose()
            );
            render::text(&text).context("printing the private key")?;
        }
    }
    report.kit = Some(KitReport {
        public_key: Some(public.clone()),
        identity_file: args.identity.clone(),
        ..KitReport::default()
    });
    create_dir(&dir)?;
    write_new(&target, &format!("# Written by 'k3s-snapshot kit init'.\nkit-recipients+: [\"{public}\"]\n"))?;
    if let Some(kit) = &mut report.kit {
        kit.config_file = Some(target.display().to_string());
    }
    Ok(())
}

/// Writes a file that must not exist yet, readable by its owner only.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = name.ok_or_else(|| {
        Fault::new(Code::InvalidArgument, format!("'{}' is not the path of a file", path.display()))
    })?;
    let draft = Draft::new(dir)?;
    draft.append(text.as_bytes()).with_context(|| format!("writing '{}'", path.display()))?;
    match draft.publish(name, text.len() as u64)? {
        Published::Done(_) => Ok(()),
        Published::Taken(_) => {
            Err(Fault::new(Code::FileExists, format!("'{}' already exists", path.display()))
                .hint("Choose another file.")
                .into())
        }
    }
}
