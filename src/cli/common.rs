// SPDX-License-Identifier: Apache-2.0
//! The options of every command.
#![allow(missing_docs, reason = "a doc comment on a flattened part would become help text")]

use clap::{Args, ValueEnum};

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The distribution: k3s or rke2 [default: detected]
    #[arg(long, value_name = "NAME")]
    pub distribution: Option<String>,
    /// Data directory of K3s [default: that of the K3s configuration or service, else /var/lib/rancher/k3s]
    #[arg(short = 'd', long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Snapshot directory [default: that of the K3s configuration, else DATA-DIR/server/db/snapshots]
    #[arg(long, alias = "etcd-snapshot-dir", value_name = "DIR")]
    pub dir: Option<String>,
    /// Configuration file of K3s [default: $K3S_CONFIG_FILE, that of the K3s service, or /etc/rancher/k3s/config.yaml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// K3s unit; its arguments and environment count like the K3s configuration [default: k3s.service, else the unit that
    /// runs K3s]
    #[arg(long, value_name = "NAME")]
    pub unit: Option<String>,
    /// File with the server token [default: DATA-DIR/server/token]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// Use the file system mounted at DIR instead of /; etcd is then contacted only with --etcd-endpoints
    #[arg(long, value_name = "DIR")]
    pub root: Option<String>,
    /// Directory of the manifests, which record verification results [default: /var/lib/k3s-snapshot]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Directory of the lock [default: /run/k3s-snapshot]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<String>,
    /// Print the effective settings and their origin, then exit
    #[arg(long)]
    pub show_config: bool,
    /// Format of the result: text, or json with every detail
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub report: ReportFormat,
    /// Print only warnings and errors
    #[arg(short, long)]
    pub quiet: bool,
    /// Print debug messages
    #[arg(short = 'v', long)]
    pub debug: bool,
}

/// Values of `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}
