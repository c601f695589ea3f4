// SPDX-License-Identifier: Apache-2.0
//! Reads all of a bbolt file into memory, so that tests can compare its content before and after a change.
//!
//! Shares no code with the program. Panics if the file is malformed.

use std::collections::BTreeMap;

/// The content of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dump {
    /// The value of each key. A key has the names of its buckets before it.
    pub(crate) values: BTreeMap<Vec<Vec<u8>>, Vec<u8>>,
    /// The sequence number of each bucket. The root bucket has no name.
    pub(crate) sequences: BTreeMap<Vec<Vec<u8>>, u64>,
}

/// The meta page that bbolt uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) slot: usize,
    pub(crate) page_size: usize,
    pub(crate) root: u64,
    pub(crate) freelist: u64,
    pub(crate) pages: u64,
    pub(crate) txid: u64,
}

fn number<const N: usize>(file: &[u8], at: usize) -> u64 {
    file[at..at + N].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// The newest valid meta page.
pub(crate) fn meta(file: &[u8]) -> Option<Meta> {
    let at = |slot: usize, base: usize| {
        let record = file.get(base + 16..base + 80)?;
        let sum = record[..56]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        let sizes = [4096, 8192, 16384, 32768, 65536];
        let good = number::<4>(record, 0) == 0xED0C_DAED
            && sizes.contains(&number::<4>(record, 8))
            && number::<8>(record, 56) == sum;
        good.then(|| Meta {
            slot,
            page_size: number::<4>(record, 8) as usize,
            root: number::<8>(record, 16),
            freelist: number::<8>(record, 32),
            pages: number::<8>(record, 40),
            txid: number::<8>(record, 48),
        })
    };
    let second = [4096, 8192, 16384, 32768, 65536].into_iter().find_map(|size| at(1, size));
    at(0, 0).into_iter().chain(second).max_by_key(|meta| meta.txid)
}

/// The content of a file, from its newest meta page.
pub(crate) fn dump(file: &[u8]) -> Dump {
    let meta = meta(file).expect("a valid meta page");
    let mut dump = Dump::default();
    let base = meta.slot * meta.page_size;
    dump.sequences.insert(Vec::new(), number::<8>(file, base + 16 + 24));
    page(file, meta, meta.root as usize * meta.page_size, &mut Vec::new(), &mut dump);
    dump
}

fn page(file: &[u8], meta: Meta, base: usize, path: &mut Vec<Vec<u8>>, dump: &mut Dump) {
    let leaf = match number::<2>(file, base + 8) {
        1 => false,
        2 => true,
        flags => panic!("flags {flags} at {base}"),
    };
    for i in 0..number::<2>(file, base + 10) as usize {
        let at = base + 16 + 16 * i;
        if !leaf {
            let child = number::<8>(file, at + 8) as usize;
            assert!((2..meta.pages as usize).contains(&child));
            page(file, meta, child * meta.page_size, path, dump);
            continue;
        }
        let key = at + number::<4>(file, at + 4) as usize;
        let value = key + number::<4>(file, at + 8) as usize;
        let end = value + number::<4>(file, at + 12) as usize;
        path.push(file[key..value].to_vec());
        if number::<4>(file, at) == 1 {
            dump.sequences.insert(path.clone(), number::<8>(file, value + 8));
            match number::<8>(file, value) as usize {
                0 => page(file, meta, value + 16, path, dump),
                root => page(file, meta, root * meta.page_size, path, dump),
            }
        } else {
            let before = dump.values.insert(path.clone(), file[value..end].to_vec());
            assert!(before.is_none(), "a key twice");
        }
        path.pop();
    }
}
