#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
mod bolt_writer;
mod conformance;
mod prune;
mod prune_s3;
mod rke2;
mod s3;
mod s3_faults;
mod s3_moto;
mod s3_stores;
mod save;
mod support;
mod timer;
mod verify;
