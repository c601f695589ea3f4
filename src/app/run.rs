// SPDX-License-Identifier: Apache-2.0
//! One run of a command: log, settings, lock, command, report, exit code. The one place that reads clock and environment.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::command::Command;
use super::context::Context;
use super::metrics;
use super::pings::Pings;
use crate::cli::{Common, ReportFormat};
use crate::config::layer::{Layer, Origin};
use crate::config::load::{self, Environment, Selectors};
use crate::config::options::{OPTIONS, OptionId};
use crate::config::settings::Settings;
use crate::distribution::ALL;
use crate::error::{Code, Fault, Kind, code_of};
use crate::host::lock::Lock;
use crate::host::notify::{self, Status};
use crate::host::systemd;
use crate::host::{NoProgress, Progress, StepRecorder};
use crate::model::event::Event;
use crate::model::report::Report;
use crate::model::warning::WarningCode;
use crate::output::escape::printable;
use crate::output::progress_bar::ProgressBar;
use crate::output::render::{self, Format};
use crate::output::table::table;
use crate::output::{journal, log as stderr};

/// Options that take a secret as a value, as K3s does.
const SECRET_VALUES: [&str; 3] = ["s3_access_key", "s3_secret_key", "s3_session_token"];
/// The option with the URL of a proxy, which may have a password.
const PROXY: &str = "s3_proxy";

/// Parses the arguments of a command and runs it as a process.
pub(super) fn execute<C: Command>(matches: &ArgMatches) -> ExitCode {
    let command = match C::from_arg_matches(matches) {
        Ok(command) => command,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(Kind::Usage.exit_code());
        }
    };
    let common = command.common();
    stderr::start(&format!("k3s-snapshot-{}", C::NAME.as_str()), common.quiet, common.debug);
    let (started, now) =
        (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()));
    let mut report = Report::new(C::NAME, now);
    let settings_shown = match run(&command, matches, (started, now), &mut report) {
        Ok(shown) => shown,
        Err(e) => {
            report.fail(&e);
            false
        }
    };
    report.duration_ms = milliseconds(started.elapsed());
    let format = match common.report {
        ReportFormat::Json => Format::Report,
        ReportFormat::Text => command.format(),
    };
    // A quiet run in good order leaves one line in the journal, and nothing on a terminal.
    let silent = common.quiet && format == Format::Text && report.error.is_none();
    let printed = if settings_shown || silent { Ok(()) } else { render::report(&report, format) };
    if let Err(e) = printed.context("printing the result") {
        report.fail(&e);
    }
    log_outcome(&report, settings_shown);
    ExitCode::from(report.exit_code)
}

/// Records how the run ended: in the journal, else on stderr; and for systemd.
fn log_outcome(report: &Report, settings_shown: bool) {
    let event = Event::from_report(report);
    let logged = !settings_shown && journal::event(&event);
    match (&report.error, &report.skipped) {
        (Some(error), _) if !logged => log::error!("{}", error.message),
        (None, Some(reason)) if !logged => log::info!("skipped: {reason}"),
        _ => {}
    }
    // A hint of several steps has a line for each.
    report.error.iter().filter_map(|e| e.hint.as_ref()).flat_map(|hint| hint.lines()).for_each(stderr::hint);
    notify::end(&event.text);
    journal::sync();
}

/// Runs the command. True if the settings were printed instead.
fn run<C: Command>(
    command: &C,
    matches: &ArgMatches,
    (started, now): (Instant, u64),
    report: &mut Report,
) -> Result<bool> {
    let common = command.common();
    warn_about_secrets(matches, report);
    let progress: Box<dyn Progress> = match (common.quiet, Status::new(), ProgressBar::new()) {
        (false, None, Some(bar)) => Box::new(bar),
        (_, Some(status), _) => Box::new(status),
        _ => Box::new(NoProgress),
    };
    let progress = StepRecorder::new(progress);
    if let Some(result) = command.run_without_settings(&progress, report) {
        return end(result, &progress, report);
    }
    let settings = match load_settings(common, matches, &[]) {
        Ok(settings) => settings,
        Err(e) if code_of(&e) == Code::PermissionDenied => {
            return end(command.run_without_permission(e, now, report), &progress, report);
        }
        Err(e) => return Err(e),
    };
    settings.warnings.iter().for_each(|warning| report.warn(warning.code, warning.message.as_str()));
    if common.show_config {
        print_settings(&settings, common.report).context("printing the settings")?;
        return Ok(true);
    }
    let s = &settings;
    let reload = |more: &[(OptionId, String)]| load_settings(common, matches, more);
    let cx = Context { settings: s, distribution: s.distribution, now, progress: &progress, reload: &reload };
    let skips = cx.should_skip(command.skips_without_etcd(), report);
    // Below another root, the configuration is that of another machine.
    let pings = (command.is_job() && !matches!(skips, Ok(true)) && s.root == Path::new("/"))
        .then(|| Pings::start(&cx, C::NAME, report));
    let result = match skips {
        Ok(false) => run_locked(command, &cx, report),
        other => other.map(drop),
    };
    if let Err(e) = end(result, &progress, report) {
        report.fail(&e);
    }
    if command.is_job() {
        let elapsed = started.elapsed();
        report.duration_ms = milliseconds(elapsed);
        metrics::write(&cx, progress.phases(), now.saturating_add(elapsed.as_secs()), report);
    }
    if let Some(pings) = pings {
        pings.end(report);
    }
    Ok(false)
}

/// Runs the command, with the lock if it changes files.
fn run_locked<C: Command>(command: &C, cx: &Context, report: &mut Report) -> Result<()> {
    let s = cx.settings;
    let wait = s.retry_lock.unwrap_or_default();
    let _lock = match command.locks() {
        true => Some(Lock::acquire(&s.run_dir, &s.data_dir, wait, cx.progress)?),
        false => None,
    };
    command.run(cx, report)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A run that failed reports its last step.
fn end(result: Result<()>, progress: &StepRecorder, report: &mut Report) -> Result<bool> {
    if result.is_err() || report.error.is_some() {
        report.step = progress.last();
    }
    result.map(|()| false)
}

/// The settings in effect: files, the K3s service, environment and command line, to which `more` is added.
fn load_settings(common: &Common, matches: &ArgMatches, more: &[(OptionId, String)]) -> Result<Settings> {
    let root = root_of(common)?;
    let env = environment()?;
    let mut over = options_set(matches)?;
    for (id, value) in more {
        over.set(*id, vec![value.clone()], Origin::Flag(id.name().to_owned()));
    }
    let selectors = Selectors {
        config: common.config.as_deref(),
        unit: over.effective(OptionId::Unit).map(|(name, _)| name),
        distribution: over.effective(OptionId::Distribution),
    };
    let loaded = load::load(&root, &selectors, &env, &systemd::definition)?;
    let host_name = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
    Settings::new(loaded, over, &root, &host_name)
}

fn root_of(common: &Common) -> Result<PathBuf> {
    match &common.root {
        Some(root) => Path::new(root).canonicalize().with_context(|| {
            Fault::new(Code::InvalidArgument, format!("opening --root '{}'", root.escape_debug()))
        }),
        None => Ok(PathBuf::from("/")),
    }
}

fn environment() -> Result<Environment> {
    let mut env = Environment::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => drop(env.insert(name, value)),
            Err(_) if ALL.iter().any(|d| name.starts_with(d.variables)) => {
                let what = format!("environment variable {name} is not UTF-8");
                return Err(Fault::new(Code::InvalidSetting, what).into());
            }
            Err(_) => {}
        }
    }
    Ok(env)
}

/// Every option that was given on the command line and is a setting, whatever the command.
fn options_set(matches: &ArgMatches) -> Result<Layer> {
    let mut flags = Layer::default();
    for option in OPTIONS.iter().filter(|option| option.is_ours) {
        let id = option.name.replace('-', "_");
        if !is_given(matches, &id) {
            continue;
        }
        if let Ok(Some(raw)) = matches.try_get_raw(&id) {
            let values: Vec<String> = raw.map(|v| v.to_string_lossy().into_owned()).collect();
            // A variable that a script forgot to set must not turn a check off.
            if values.iter().all(String::is_empty) {
                return Err(Fault::new(Code::InvalidArgument, format!("--{} is empty", option.name))
                    .hint("Set a value, or omit the option.")
                    .into());
            }
            flags.set(option.id, values, Origin::Flag(option.name.to_owned()));
        }
    }
    Ok(flags)
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).unwrap_or(false) && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// K3s takes secrets as values on the command line, so they are taken here too; the process list shows them.
fn warn_about_secrets(matches: &ArgMatches, report: &mut Report) {
    let option = |id: &str| format!("--{}", id.replace('_', "-"));
    let mut given: Vec<String> =
        SECRET_VALUES.iter().filter(|id| is_given(matches, id)).map(|id| option(id)).collect();
    let file = given.first().map(|first| format!("{first}-file or ")).unwrap_or_default();
    let proxy = matches.try_get_one::<String>(PROXY).ok().flatten().filter(|_| is_given(matches, PROXY));
    if proxy.is_some_and(|url| url.contains('@')) {
        given.push(option(PROXY));
    }
    if !given.is_empty() {
        report.warn(
            WarningCode::SecretOnCommandLine,
            format!(
                "every user of this machine can see the value of {} in the process list: use {file}the configuration \
                 file instead",
                given.join(" and ")
            ),
        );
    }
}

fn print_settings(settings: &Settings, format: ReportFormat) -> std::io::Result<()> {
    let rows = settings.show_config();
    if format == ReportFormat::Json {
        return render::text(&render::json(&rows));
    }
    let head = ["Option", "Value", "Origin"].map(str::to_owned).to_vec();
    let cells = rows.iter().map(|r| vec![printable(&r.option), printable(&r.value), printable(&r.origin)]);
    render::text(&table(&std::iter::once(head).chain(cells).collect::<Vec<_>>()))
}
