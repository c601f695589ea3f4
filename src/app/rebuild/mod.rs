// SPDX-License-Identifier: Apache-2.0
//! Wires a rebuild: the bucket, the kit, this machine, and the restore.

mod command;
mod datastore;
