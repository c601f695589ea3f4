# SPDX-License-Identifier: Apache-2.0
"""The crates that are linked into the programs, for `notices` and `sbom`: without those of tests and build scripts.

CARGO_BUILD_TARGET selects another platform than that of this machine.
"""

import json
import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def output(*command):
    return subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout


def cargo(*args):
    # Not --offline: the build has downloaded the linked crates only, and cargo also reads the manifests of the others.
    return output("cargo", *args, "--locked")


def target():
    """The platform that the programs are built for: the crates of other platforms need not be on this machine."""
    host = next(line.split()[1] for line in output("rustc", "-vV").splitlines() if line.startswith("host: "))
    return os.environ.get("CARGO_BUILD_TARGET") or host


def metadata():
    return json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", target()))


def linked(packages):
    """Of the packages of `metadata`, those that are linked; not this one."""
    tree = cargo("tree", "--target", target(), "--edges", "normal", "--prefix", "none", "--format", "{p}")
    names = {tuple(line.split()[:2]) for line in tree.splitlines() if line and "(proc-macro)" not in line}
    return [p for p in packages if (p["name"], "v" + p["version"]) in names and p["source"] is not None]
