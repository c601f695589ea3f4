// SPDX-License-Identifier: Apache-2.0
//! Configuration files as K3s reads them: YAML by the rules of gopkg.in/yaml.v2, values as the text that Go prints.

mod document;
mod scalar;
mod value;

pub(crate) use document::parse;
pub(crate) use scalar::go_int;
pub(crate) use value::{YamlEntry, YamlValue};
