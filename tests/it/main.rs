// SPDX-License-Identifier: Apache-2.0
//! All integration tests in one program: it links once. A theme is a module; the real parts are in `support`.

mod bolt_writer;
mod corruption;
mod layers;
mod parts;
mod save;
mod support;
mod trouble;
mod verify;
