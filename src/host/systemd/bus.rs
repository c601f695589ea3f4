// SPDX-License-Identifier: Apache-2.0
//! systemd on the system bus: methods and properties, by their names on the bus.

use std::collections::{BTreeSet, HashMap};
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_core::Stream;
use serde::Serialize;
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, DynamicType, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use super::error;
use crate::host::unit::{Active, Unit};
use crate::model::unit::Definition;

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const TIMER: &str = "org.freedesktop.systemd1.Timer";
/// The code of the kernel for a child that exited by itself.
const CLD_EXITED: i32 = 1;
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Runs the future on a runtime of its own, for `within` at most. The error of a timeout names `what`.
pub(super) fn run<T>(what: &str, within: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime for systemd")?;
    runtime.block_on(async {
        tokio::time::timeout(within, work).await.unwrap_or_else(|_| Err(error::silent(what, within)))
    })
}

/// A connection to the system bus.
pub(super) struct Bus(Connection);

/// The last run of a service.
pub(super) struct LastRun {
    pub(super) is_running: bool,
    pub(super) result: String,
    pub(super) exit_code: Option<i32>,
    /// When the main process ended, microseconds since the epoch; 0 if it has not run since the boot.
    pub(super) finished_us: u64,
}

/// A unit that systemd has in memory.
pub(super) struct Loaded {
    path: OwnedObjectPath,
}

impl Bus {
    pub(super) async fn open() -> Result<Bus> {
        Connection::system().await.map(Bus).map_err(|e| error::no_bus(&e))
    }

    async fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> zbus::Result<R>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        self.0.call_method(Some(NAME), path, Some(interface), method, body).await?.body().deserialize()
    }

    /// Calls a method of the manager.
    pub(super) async fn manager<B, R>(&self, method: &str, body: &B) -> zbus::Result<R>
    where
        B: Serialize + DynamicType,
        R: for<'d> DynamicDeserialize<'d>,
    {
        self.call(PATH, MANAGER, method, body).await
    }

    /// Has systemd load a unit that is not loaded yet. Succeeds for a unit that does not exist.
    pub(super) async fn load(&self, unit: &str) -> Result<Loaded> {
        let asked = self.manager("LoadUnit", &(unit,)).await;
        Ok(Loaded { path: asked.map_err(|e| error::explain(unit, "asking for", &e))? })
    }

    /// Every service whose unit file systemd has loaded, with its name.
    pub(super) async fn services(&self) -> Result<Vec<(String, Loaded)>> {
        type Row =
            (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);
        let none: [&str; 0] = [];
        let rows: Vec<Row> = self
            .manager("ListUnitsByPatterns", &(&none[..], &["*.service"][..]))
            .await
            .map_err(|e| error::explain("*.service", "listing", &e))?;
        let rows = rows.into_iter().filter(|row| row.2 == "loaded");
        Ok(rows.map(|row| (row.0, Loaded { path: row.6 })).collect())
    }

    /// Follows the ends of the jobs of one unit, from now on. `id` is the primary name of the unit.
    pub(super) async fn job_ends(&self, id: &str) -> Result<JobEnds> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(NAME)
            .path(PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .arg(2, id)
            .build();
        let why = |e: &zbus::Error| error::explain(id, "following", e);
        // systemd sends no signals without a subscription.
        self.manager::<_, ()>("Subscribe", &()).await.map_err(|e| why(&e))?;
        let stream = MessageStream::for_match_rule(rule.map_err(|e| why(&e))?, &self.0, None).await;
        Ok(JobEnds(stream.map_err(|e| why(&e))?))
    }
}

/// The ends of jobs, as systemd reports them.
pub(super) struct JobEnds(MessageStream);

impl JobEnds {
    /// Waits until this job has ended, and returns the result word of systemd.
    pub(super) async fn of(mut self, job: &OwnedObjectPath) -> Result<String> {
        loop {
            let mut stream = pin!(&mut self.0);
            let message = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
            let message = message.ok_or_else(|| anyhow!("the connection to the system bus was closed"))?;
            let body = message.context("receiving from the system bus")?.body();
            let (_, path, _, result): (u32, OwnedObjectPath, String, String) =
                body.deserialize().context("reading the result of a systemd job")?;
            if path == *job {
                return Ok(result);
            }
        }
    }
}

/// The properties of one interface of a unit.
struct Properties(HashMap<String, OwnedVariant>);

impl Properties {
    /// A property; `None` if this version of systemd does not have it, or has it with another type.
    fn take<T: TryFrom<OwnedVariant>>(&mut self, name: &str) -> Option<T> {
        T::try_from(self.0.remove(name)?).ok()
    }

    fn text(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default()
    }

    fn flag(&mut self, name: &str) -> bool {
        self.take(name).unwrap_or_default()
    }

    fn number(&mut self, name: &str) -> u64 {
        self.take(name).unwrap_or_default()
    }
}

impl Loaded {
    async fn properties(&self, bus: &Bus, unit: &str, interface: &str) -> Result<Properties> {
        let all = bus.call(self.path.as_str(), PROPERTIES, "GetAll", &(interface,)).await;
        Ok(Properties(all.map_err(|e| error::explain(unit, "asking about", &e))?))
    }

    /// A property; `None` only if systemd answers that there is none.
    async fn property<T: TryFrom<Variant<'static>>>(
        &self,
        bus: &Bus,
        unit: &str,
        interface: &str,
        name: &str,
    ) -> Result<Option<T>> {
        let body = (interface, name);
        match bus.call::<_, OwnedVariant>(self.path.as_str(), PROPERTIES, "Get", &body).await {
            Ok(value) => match T::try_from(Variant::from(value)) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(error::odd_property(unit, name)),
            },
            Err(e) if error::is_no_property(&e) => Ok(None),
            Err(e) => Err(error::explain(unit, "asking about", &e)),
        }
    }

    /// All properties that this program uses.
    pub(super) async fn unit(&self, bus: &Bus, unit: &str) -> Result<Unit> {
        let mut general = self.properties(bus, unit, UNIT).await?;
        let mut service = self.properties(bus, unit, SERVICE).await?;
        let name = general.text("Id");
        let definition = definition(&name, &mut |property| service.0.remove(property).map(Variant::from));
        let fragment = general.text("FragmentPath");
        let needed_by = ["RequiredBy", "BoundBy", "ConsistsOf"].map(|by| general.take::<Vec<String>>(by));
        let dependents: BTreeSet<String> = needed_by.into_iter().flatten().flatten().collect();
        Ok(Unit {
            loaded: general.text("LoadState") == "loaded",
            active: Active::parse(&general.text("ActiveState")),
            sub: general.text("SubState"),
            main_pid: service.take("MainPID").unwrap_or_default(),
            restarts: service.take("NRestarts").unwrap_or_default(),
            result: service.text("Result"),
            control_group: service.text("ControlGroup"),
            fragment: (!fragment.is_empty()).then(|| PathBuf::from(fragment)),
            outdated: general.flag("NeedDaemonReload"),
            // An assertion that was never checked has not failed.
            assert_failed: general.number("AssertTimestamp") != 0 && !general.flag("AssertResult"),
            has_job: general.take("Job").is_some_and(|(id, _): (u32, OwnedObjectPath)| id != 0),
            dependents: dependents.into_iter().collect(),
            name,
            definition,
        })
    }

    /// Only the process that the unit runs: a few properties, which is faster than [`Loaded::unit`]. `None` without a unit file.
    ///
    /// # Errors
    /// If systemd does not answer one of the questions: a definition without a part would look whole.
    pub(super) async fn definition(&self, bus: &Bus, unit: &str) -> Result<Option<Definition>> {
        if self.state(bus, unit).await? != "loaded" {
            return Ok(None);
        }
        let Some(name) = self.property::<String>(bus, unit, UNIT, "Id").await? else { return Ok(None) };
        let mut known = HashMap::new();
        for property in EXEC_START.into_iter().chain(["Environment", "EnvironmentFiles", "WorkingDirectory"])
        {
            // The first of the two properties that this version of systemd has.
            if property == EXEC_START[1] && known.contains_key(EXEC_START[0]) {
                continue;
            }
            if let Some(value) = self.property::<Variant<'static>>(bus, unit, SERVICE, property).await? {
                known.insert(property, value);
            }
        }
        Ok(Some(definition(&name, &mut |property| known.remove(property))))
    }

    /// The load state of the unit: `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    ///
    /// # Errors
    /// If systemd does not answer.
    pub(super) async fn state(&self, bus: &Bus, unit: &str) -> Result<String> {
        let state = self.property(bus, unit, UNIT, "LoadState").await?;
        state.ok_or_else(|| error::none(unit))
    }

    /// How the service ended last; `None` without a unit file.
    pub(super) async fn last_run(&self, bus: &Bus, unit: &str) -> Result<Option<LastRun>> {
        let mut general = self.properties(bus, unit, UNIT).await?;
        if general.text("LoadState") != "loaded" {
            return Ok(None);
        }
        let mut service = self.properties(bus, unit, SERVICE).await?;
        let exited = service.take("ExecMainCode") == Some(CLD_EXITED);
        Ok(Some(LastRun {
            is_running: general.text("ActiveState") == "activating",
            result: service.text("Result"),
            exit_code: service.take("ExecMainStatus").filter(|_| exited),
            finished_us: service.number("ExecMainExitTimestamp"),
        }))
    }

    /// When an active timer elapses next, microseconds since the epoch; `None` if the timer is not active.
    pub(super) async fn next_run(&self, bus: &Bus, unit: &str) -> Result<Option<u64>> {
        let mut general = self.properties(bus, unit, UNIT).await?;
        if general.text("ActiveState") != "active" {
            return Ok(None);
        }
        Ok(Some(self.properties(bus, unit, TIMER).await?.number("NextElapseUSecRealtime")))
    }

    /// Only the command line.
    ///
    /// # Errors
    /// If systemd does not answer.
    pub(super) async fn exec_start(&self, bus: &Bus, unit: &str) -> Result<Vec<String>> {
        let value = self.property::<Variant<'static>>(bus, unit, SERVICE, EXEC_START[1]).await?;
        Ok(commands(EXEC_START[1], value).into_iter().next().map(|(argv, _)| argv).unwrap_or_default())
    }
}

/// The property with flags, and the older one that every version of systemd has.
const EXEC_START: [&str; 2] = ["ExecStartEx", "ExecStart"];

fn definition(name: &str, property: &mut dyn FnMut(&str) -> Option<Variant<'static>>) -> Definition {
    let of = |value: Option<Variant<'static>>| value.map(Vec::<String>::try_from);
    let mut starts = EXEC_START.into_iter().map(|p| commands(p, property(p)));
    let (exec_start, verbatim) =
        starts.find(|c| !c.is_empty()).and_then(|c| c.into_iter().next()).unwrap_or_default();
    let environment = of(property("Environment")).and_then(Result::ok);
    let files = property("EnvironmentFiles").map(Vec::<(String, bool)>::try_from).and_then(Result::ok);
    // Every version of systemd has both.
    let is_whole = environment.is_some() && files.is_some();
    Definition {
        name: name.to_owned(),
        exec_start,
        verbatim,
        environment: environment
            .unwrap_or_default()
            .iter()
            .filter_map(|e| e.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        environment_files: files
            .unwrap_or_default()
            .into_iter()
            .map(|(path, may_be_missing)| (PathBuf::from(path), may_be_missing))
            .collect(),
        working_directory: working_directory(property("WorkingDirectory")),
        unknown: (!is_whole).then(|| format!("systemd does not report the environment of {name}")),
    }
}

/// The working directory, without the prefixes of systemd; `None` if it is a home directory or not set.
fn working_directory(value: Option<Variant<'static>>) -> Option<PathBuf> {
    let text = String::try_from(value?).ok()?;
    Some(PathBuf::from(text.trim_start_matches(['!', '-']))).filter(|path| path.is_absolute())
}

/// Command lines, each with whether systemd leaves its variables alone. The path of the program replaces the first word,
/// which may be another name of the program.
fn commands(property: &str, value: Option<Variant<'static>>) -> Vec<(Vec<String>, bool)> {
    type Plain = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);
    type Extended = (String, Vec<String>, Vec<String>, u64, u64, u64, u64, u32, i32, i32);
    let Some(value) = value else { return Vec::new() };
    let line =
        |path: String, argv: Vec<String>| std::iter::once(path).chain(argv.into_iter().skip(1)).collect();
    if property == EXEC_START[0] {
        let all = Vec::<Extended>::try_from(value).unwrap_or_default();
        let verbatim = |flags: &[String]| flags.iter().any(|f| f == "no-env-expand");
        all.into_iter().map(|c| (line(c.0, c.1), verbatim(&c.2))).collect()
    } else {
        let all = Vec::<Plain>::try_from(value).unwrap_or_default();
        all.into_iter().map(|c| (line(c.0, c.1), false)).collect()
    }
}
