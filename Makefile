# `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where cargo builds, and where the results of `build` and `dist` go.
CARGO_TARGET_DIR ?= target
DIST := target/dist
# The names under which Ansible finds the modules. lictor-module is each of them, by the name of its file; what reads
# specs would make it a third larger, and is in lictor alone.
MODULES := consul_agent consul_catalog_info consul_election consul_kv consul_lock consul_party_info consul_service consul_session
LARGE_MODULES := consul_spec
# What `dist` builds for: make dist TARGETS=x86_64-unknown-linux-musl
TARGETS ?= x86_64-unknown-linux-musl aarch64-unknown-linux-musl

CLI_FLAGS := --locked --release --bin lictor
# Not position-independent: its tables of addresses would be a fortieth of a file that is copied for each task. Without
# tables for unwinding: see the linker script.
SMALL_RUSTFLAGS := -C relocation-model=static -C link-arg=-Wl,-T,src/bin/lictor-module.ld
# And with instructions that recur put into functions: another fortieth. Not lictor, which is to be fast first.
MODULE_RUSTFLAGS := $(SMALL_RUSTFLAGS) -C llvm-args=-enable-machine-outliner=always
MODULE_FLAGS := --locked --profile module --no-default-features --bin lictor-module

.PHONY: help build dist demo test bench generate deny fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' Makefile

build: ## build both binaries for this machine, into target/dist
	cargo rustc $(CLI_FLAGS) -- $(SMALL_RUSTFLAGS)
	cargo rustc $(MODULE_FLAGS) -- $(MODULE_RUSTFLAGS)
	@install -D -m 755 -t $(DIST) $(CARGO_TARGET_DIR)/release/lictor $(CARGO_TARGET_DIR)/module/lictor-module
	@for module in $(MODULES); do install -D -m 755 $(DIST)/lictor-module $(DIST)/library/$$module; done
	@for module in $(LARGE_MODULES); do install -D -m 755 $(DIST)/lictor $(DIST)/library/$$module; done

dist: ## build static binaries for x86_64 and aarch64, into target/dist/<target>
	@LICTOR_TARGETS="$(TARGETS)" scripts/tools.sh dist
	@PATH="$$(LICTOR_TARGETS='$(TARGETS)' scripts/tools.sh path dist):$$PATH"; \
	for target in $(TARGETS); do \
	  (set -x; \
	   RUSTFLAGS="$(SMALL_RUSTFLAGS)" cargo zigbuild $(CLI_FLAGS) --target $$target; \
	   RUSTFLAGS="$(MODULE_RUSTFLAGS)" cargo zigbuild $(MODULE_FLAGS) --target $$target); \
	  install -D -m 755 -t $(DIST)/$$target \
	    $(CARGO_TARGET_DIR)/$$target/release/lictor $(CARGO_TARGET_DIR)/$$target/module/lictor-module; \
	done

demo: ## show the main job on an agent in memory; CONSUL=1: on a throw-away Consul
	@CONSUL="$(CONSUL)" scripts/demo.sh

test: ## run everything that CI runs, with a real Consul and a real Ansible
	@scripts/test.sh

bench: ## measure side by side with what a user would otherwise run
	@scripts/bench.sh

generate: ## write the JSON Schemas and the references anew
	LICTOR_GENERATE=1 cargo test --locked --test project

deny: ## check licences, advisories and sources of the dependencies
	@cargo deny --version >/dev/null 2>&1 || { \
	  echo "cargo-deny is not here. Install it: cargo install --locked cargo-deny@0.20.2" >&2; exit 1; }
	cargo deny check

fmt: ## format the Rust code
	cargo fmt --all

clean: ## remove what was built (the tools stay: rm -rf .tools)
	cargo clean
