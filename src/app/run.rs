// SPDX-License-Identifier: Apache-2.0
//! The frame around every verb: arguments, log, settings, lock, verb, report, exit code. The one place that exits.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::{Common, ReportFormat};
use crate::config::layer::{Layer, Origin};
use crate::config::load::{self, Environment, Loaded, Selectors};
use crate::config::options::OPTIONS;
use crate::config::settings::Settings;
use crate::distribution::{ALL, Distribution};
use crate::error::{Code, Fault, Kind};
use crate::host::lock::Lock;
use crate::host::notify::{self, Status};
use crate::host::systemd;
use crate::host::{NoProgress, Progress, StepRecorder};
use crate::model::event;
use crate::model::report::Report;
use crate::output::progress_bar::ProgressBar;
use crate::output::render::{self, Format, table};
use crate::output::{journal, log as stderr};

/// A verb as the frame needs to know it. `A` is its parsed command line.
pub struct Command<A> {
    /// Its name in reports.
    pub name: &'static str,
    /// Whether it changes something, so that only one at a time may run.
    pub locks: bool,
    /// The common part of its command line.
    pub common: fn(&A) -> &Common,
    /// The distribution that its command line can only mean, whatever is on the machine.
    pub distribution: fn(&A) -> Option<&'static Distribution>,
    /// How its rows are printed, where it has an option for that.
    pub format: fn(&A) -> Format,
    /// What it does.
    pub run: fn(&Context<A>, &mut Report) -> Result<()>,
}

/// What a verb is given.
pub struct Context<'a, A> {
    /// Its command line.
    pub args: &'a A,
    /// What it goes by.
    pub settings: &'a Settings,
    /// The distribution.
    pub distribution: &'static Distribution,
    /// The one reading of the clock: seconds since the epoch.
    pub now: u64,
    /// Who hears how far it is.
    pub progress: &'a dyn Progress,
}

/// Runs a verb as a process.
pub fn main<A: clap::CommandFactory + clap::FromArgMatches>(verb: &Command<A>) -> ExitCode {
    let command = A::command();
    let program = command.get_name().to_owned();
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { Kind::Usage.exit_code() } else { 0 });
        }
    };
    let args = match A::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(e) => e.exit(),
    };
    let common = (verb.common)(&args);
    stderr::start(&program, common.quiet, common.debug);
    let (started, now) =
        (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()));
    let mut report = Report::new(verb.name, now);
    let explained = match frame(verb, &args, &matches, now, &mut report) {
        Ok(explained) => explained,
        Err(e) => {
            report.fail(&e);
            false
        }
    };
    report.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let format = match common.report {
        ReportFormat::Json => Format::Report,
        ReportFormat::Text => (verb.format)(&args),
    };
    let printed = if explained { Ok(()) } else { render::report(&report, format) };
    if let Err(e) = printed.context("printing the result") {
        report.fail(&e);
    }
    tell(&report, explained);
    ExitCode::from(report.exit_code)
}

/// How it ended, to whoever listens: the journal, else stderr; and systemd.
fn tell(report: &Report, explained: bool) {
    let event = event::from_report(report);
    let told = !explained && journal::event(&event);
    match (&report.error, &report.skipped) {
        (Some(error), _) if !told => log::error!("{}", error.message),
        (None, Some(why)) if !told => log::info!("skipped: {why}"),
        _ => {}
    }
    // A hint of several steps has a line for each.
    report.error.iter().filter_map(|e| e.hint.as_ref()).flat_map(|hint| hint.lines()).for_each(stderr::hint);
    notify::end(&event.text);
    journal::settle();
}

/// True where the settings were explained instead of the verb being run.
fn frame<A>(
    verb: &Command<A>,
    args: &A,
    matches: &ArgMatches,
    now: u64,
    report: &mut Report,
) -> Result<bool> {
    let common = (verb.common)(args);
    let root = match &common.root {
        Some(root) => Path::new(root).canonicalize().with_context(|| {
            Fault::new(Code::InvalidArgument, format!("opening --root '{}'", root.escape_debug()))
        })?,
        None => PathBuf::from("/"),
    };
    let mut env = Environment::new();
    for (name, value) in std::env::vars_os() {
        let (Ok(name), value) = (name.into_string(), value.into_string()) else { continue };
        match value {
            Ok(value) => drop(env.insert(name, value)),
            Err(_) if ALL.iter().any(|f| name.starts_with(f.variables)) => {
                return Err(Fault::new(
                    Code::InvalidSetting,
                    format!("environment variable {name} is not UTF-8"),
                )
                .into());
            }
            Err(_) => {}
        }
    }
    let mut over = from_flags(matches)?;
    if let Some(distribution) = (verb.distribution)(args).filter(|_| over.get("distribution").is_none()) {
        over.set(
            "distribution",
            vec![distribution.word.to_owned()],
            Origin::Derived("the command".to_owned()),
        );
    }
    let named = Selectors {
        config: common.config.as_deref(),
        unit: over.last("unit").map(|(name, _)| name),
        distribution: over.last("distribution"),
    };
    let Loaded { options: mut merged, flags, distribution } =
        load::gather(&root, &named, &env, &systemd::definition)?;
    merged.overlay(over);
    let host_name = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
    let settings = Settings::new(merged, flags, distribution, &root, &host_name)?;
    if common.explain {
        explain(&settings, common.report).context("printing the settings")?;
        return Ok(true);
    }
    let progress: Box<dyn Progress> = match (common.quiet, Status::new(), ProgressBar::new()) {
        (false, None, Some(bar)) => Box::new(bar),
        (_, Some(status), _) => Box::new(status),
        _ => Box::new(NoProgress),
    };
    let progress = StepRecorder::new(progress);
    let s = &settings;
    let _lock = match verb.locks {
        true => Some(Lock::acquire(&s.run_dir, &s.data_dir, s.retry_lock.unwrap_or_default(), &progress)?),
        false => None,
    };
    let result = (verb.run)(&Context { args, settings: s, distribution, now, progress: &progress }, report);
    if result.is_err() || report.error.is_some() {
        report.step = progress.last();
    }
    result.map(|()| false)
}

/// Every argument that was given and is a setting, whatever the verb.
fn from_flags(matches: &ArgMatches) -> Result<Layer> {
    let mut flags = Layer::default();
    for key in OPTIONS.iter().filter(|k| k.ours) {
        let id = key.name.replace('-', "_");
        if !matches.try_contains_id(&id).unwrap_or(false)
            || matches.value_source(&id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        if let Ok(Some(raw)) = matches.try_get_raw(&id) {
            let values: Vec<String> = raw.map(|v| v.to_string_lossy().into_owned()).collect();
            // A variable that a script forgot to set must not turn a check off.
            if values.iter().all(String::is_empty) {
                return Err(Fault::new(Code::InvalidArgument, format!("--{} is empty", key.name))
                    .hint("Give it a value, or leave it out.")
                    .into());
            }
            flags.set(key.name, values, Origin::Flag(key.name.to_owned()));
        }
    }
    Ok(flags)
}

fn explain(settings: &Settings, format: ReportFormat) -> std::io::Result<()> {
    let rows = settings.explain();
    if format == ReportFormat::Json {
        return render::text(&render::json(&rows));
    }
    let head = ["Option", "Value", "Origin"].map(str::to_owned).to_vec();
    let cells = rows.iter().map(|r| {
        vec![stderr::printable(&r.option), stderr::printable(&r.value), stderr::printable(&r.origin)]
    });
    render::text(&table(&std::iter::once(head).chain(cells).collect::<Vec<_>>()))
}
