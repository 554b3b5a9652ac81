#!/bin/bash
# Installs what is missing, builds the release preset and runs a small pipeline: behind "make quickstart".
set -euo pipefail
# shellcheck source=packaging/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$packaging/.."

phase "dependencies" packaging/install-dependencies.sh
phase "configure" cmake --preset release
phase "build" cmake --build --preset release --parallel "$(nproc)"
phase "train and report" build/release/bin/poise run configs/quickstart.toml
phases_in_one_line
