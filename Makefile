# Copyright (c) 2026, the imageops.fleet developers
# SPDX-License-Identifier: GPL-3.0-or-later
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test lint sanity unit integration molecule bench faults

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup:  ## system packages (root or sudo) and .venv; all other targets do it themselves
	tests/setup

demo:  ## start two hypervisor hosts and run the playbooks on them; again: nothing changes
	demo/run

demo-down:  ## remove every trace of the demo
	tests/fleet/fleet down

test:  ## all checks and tests, one summary
	tests/run

lint:  ## ruff, mypy, yamllint, shellcheck, ansible-lint, changelog and docs
	tests/run ruff mypy yamllint shellcheck ansible-lint changelog docs

sanity:  ## ansible-test sanity
	tests/run sanity

unit:  ## unit tests on all Pythons
	tests/run unit

integration:  ## integration targets on the fleet
	tests/run integration

molecule:  ## molecule scenarios on the fleet
	tests/run molecule

bench:  ## measurements beside the rivals, a table and JSON
	benchmarks/run

faults:  ## interruption tests, a table and JSON
	tests/faults/run
