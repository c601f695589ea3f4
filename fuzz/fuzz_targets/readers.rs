// SPDX-License-Identifier: Apache-2.0
//! Gives what libFuzzer generates to one reader of foreign bytes, which `READER` names: `READER=yaml cargo fuzz run readers corpus/yaml seeds/yaml`.
//! Without it, the first byte selects the reader.
#![no_main]

use k3s_snapshot::readers::READERS;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(name) = std::env::var("READER") {
        let reader = READERS.iter().find(|r| r.name == name).expect("READER is the name of a directory in fuzz/seeds");
        return (reader.read)(bytes);
    }
    if let Some((first, rest)) = bytes.split_first() {
        (READERS[usize::from(*first) % READERS.len()].read)(rest);
    }
});
