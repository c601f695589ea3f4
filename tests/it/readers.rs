// SPDX-License-Identifier: Apache-2.0
//! Every reader of foreign bytes returns, whatever the bytes are: a bounded run of mutations of the inputs in `fuzz/seeds`, without
//! libFuzzer. `FUZZ_SEED` repeats a run, `LONG=1` makes it a hundred times longer. An input that a reader does not survive is
//! kept below `target/`; put it into `fuzz/seeds` with the fix.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k3s_snapshot::readers::READERS;

/// Inputs for each reader.
const INPUTS: u64 = 1_500;

fn corpus(reader: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(reader);
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A small generator: the same numbers for the same seed, on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Numbers at the borders of their types.
const BORDERS: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    match random.below(9) {
        _ if bytes.is_empty() => bytes.push(random.next() as u8),
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 | 3 => {
            let width = [1, 2, 4, 8][random.below(4)];
            let border =
                BORDERS[random.below(BORDERS.len())].wrapping_add(random.below(3) as u64).wrapping_sub(1);
            for (byte, new) in bytes[at..].iter_mut().zip(border.to_le_bytes()).take(width) {
                *byte = new;
            }
        }
        4 => bytes.truncate(at),
        5 => {
            let end = at + random.below(bytes.len() - at).min(64);
            bytes.drain(at..end);
        }
        6 => {
            let end = at + random.below(bytes.len() - at).min(64);
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let from = random.below(other.len());
            let end = from + random.below(other.len() - from).min(64);
            bytes.splice(at..at, other[from..end].iter().copied());
        }
        _ => {
            let signs = b"\"'\\:{}[]<>&%$#\n\r\t\0 -=;,|!*";
            bytes.insert(at, signs[random.below(signs.len())]);
        }
    }
}

#[test]
fn every_reader_has_a_small_corpus_and_every_corpus_a_reader() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let dirs: BTreeSet<String> =
        fs::read_dir(top).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let readers: BTreeSet<String> = READERS.iter().map(|r| r.name.to_owned()).collect();
    assert_eq!(dirs, readers);
    let size: usize = READERS.iter().flat_map(|r| corpus(r.name)).map(|bytes| bytes.len()).sum();
    assert!(size < 1_000_000, "{size} bytes");
}

#[test]
fn no_reader_panics_whatever_the_bytes_are() {
    let seed = std::env::var("FUZZ_SEED").map_or(20_261_128, |seed| seed.parse().unwrap());
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    let mut total = 0;
    for reader in READERS {
        let seeds = corpus(reader.name);
        let mut random = Random(seed);
        // Keys are derived from a password, thousands of rounds for each input.
        let share = if reader.name == "bootstrap" { 10 } else { 1 };
        for n in 0..INPUTS * if long { 100 } else { 1 } / share {
            let mut bytes = seeds[random.below(seeds.len())].clone();
            let other = &seeds[random.below(seeds.len())];
            // The first ones as they are.
            let times = if (n as usize) < seeds.len() { 0 } else { 1 + random.below(6) };
            if times == 0 {
                bytes.clone_from(&seeds[n as usize]);
            }
            (0..times).for_each(|_| mutate(&mut random, &mut bytes, other));
            total += 1;
            if std::panic::catch_unwind(|| (reader.read)(&bytes)).is_err() {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{seed}-{n}", reader.name));
                fs::write(&kept, &bytes).unwrap();
                panic!("{}: it panicked at '{}' (FUZZ_SEED={seed}, input {n})", reader.name, kept.display());
            }
        }
    }
    crate::restore::tell(&format!(
        "readers: {total} times at mutated inputs of {} readers, FUZZ_SEED={seed}",
        READERS.len()
    ));
}
