# SPDX-License-Identifier: Apache-2.0
# The commands a contributor needs; `make` lists them. Each works in a fresh clone: it fetches what is missing first.
# A new command is a target with a `##` text behind it, and a word in .PHONY.

export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
CARGO_DENY_VERSION := 0.20.2
# The tests that make a fault at the calls of all commands that write, but for a restore, by the beginning of their names.
# readers:: gives mutated bytes to every reader of foreign bytes.
FAULTS := faults:: readers:: foreign_file_systems:: restore::the_power_fails_during_or_after
# The same for a restore, a recovery, a rejoin and a rebuild.
RESTORE_FAULTS := restore::a_restore restore::a_recovery restore::a_disk restore::the_power_fails_during_a restore_cluster::a_rejoin \
	restore_cluster::the_power restore_steps::
# In a booted host, a fault of a restore is made at one of so many calls. 1 is all of them, which takes many hours.
export FAULTS_SHARE ?= 6

# The tests of saves that another version of etcd must pass too, by the beginning of their names.
ETCD_TESTS := clone:: fence:: offline:: pinned:: save::

.DEFAULT_GOAL := help
.PHONY: help setup build release install deb rpm demo test test-long test-faults test-restore-faults test-etcd test-k3s lint audit bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what build and tests need (packages on Debian as root, and an etcd into target/)
	@scripts/setup

build: setup ## build the programs for development, into target/debug
	cargo build --locked
	packaging/install --programs target/debug --names

release: setup ## build the programs to be installed, into target/release
	cargo build --locked --release
	packaging/install --programs target/release --names

install: ## put what `make release` made, units, pages and the rest below DESTDIR
	packaging/install $(if $(wildcard /etc/debian_version),--for deb,--for rpm) "$(DESTDIR)"

deb: release ## build the package for Debian and its kin, into target/deb
	packaging/deb/build

rpm: release ## build the package for Fedora and its kin, into target/rpm
	packaging/rpm/build

demo: build ## save, list, verify and restore with a real etcd, and find a corrupt snapshot
	scripts/demo

test: lint ## run the checks and all tests; what cannot run here says so
	cargo test --locked

test-long: lint ## the same, with the tests that take minutes
	LONG=1 cargo test --locked -- --test-threads 1

test-faults: setup ## run the fault table: kills, signals, failing disks and servers, power cuts, but not of restores
	LONG=1 cargo test --locked --test it -- --nocapture --skip s3_faults:: $(FAULTS)

test-restore-faults: setup ## run the fault table of restores on three file systems; FAULTS_SHARE=1: at every call
	LONG=1 cargo test --locked --test it -- --nocapture --test-threads 1 $(RESTORE_FAULTS)

test-etcd: setup ## save from etcd 3.4, 3.6 and 3.7, which are built from source with Go
	@directories=$$(scripts/etcd-versions) || exit 1; \
	for directory in $$directories; do \
		echo "etcd: $$directory"; \
		ETCD_BIN_DIR=$$directory cargo test --locked --test it -- $(ETCD_TESTS) || exit 1; \
	done

test-k3s: build ## run restores with a real K3s in booted hosts, as root: K3S=/path/to/k3s
	tests/host/real/run "$(K3S)"

lint: setup ## check the format, clippy without a warning, and the words of documents and messages
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --test it language::

audit: ## check licences, sources, bans and advisories of the dependencies
	@PATH="$(CURDIR)/target/tools/bin:$$PATH"; \
	if ! command -v cargo-deny >/dev/null; then \
		cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION) --root target/tools; \
	fi; \
	cargo deny --locked check licenses bans sources || exit 1; \
	if ! cargo deny --locked fetch db; then \
		echo "audit: NOT CHECKED: advisories, their database cannot be had from here" >&2; \
	else \
		cargo deny --locked check --disable-fetch advisories; \
	fi

bench: release ## measure the release build against the peers, pair by pair; BENCH="--pairs N --sizes MB,..."
	cargo bench --locked --bench retention
	cargo build --locked --example s3-server
	benches/status
	benches/run $(BENCH)
	benches/clone $(BENCH)
	benches/copy $(BENCH)
	benches/sqlite $(BENCH)
	benches/restore $(BENCH)
	benches/s3 $(BENCH)
