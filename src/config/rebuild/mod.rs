// SPDX-License-Identifier: Apache-2.0
//! What a rebuild on a new machine writes, from a recovery kit and what the machine has already. Reads files and changes nothing.

mod last_drop_in;
mod merged;
mod plan;
