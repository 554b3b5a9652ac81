#!/bin/bash
# Builds the benchmarks in the release preset and runs them: behind "make bench".
set -euo pipefail
# shellcheck source=packaging/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$packaging/.."

phase "dependencies" packaging/install-dependencies.sh
phase "configure" cmake --preset release -DPOISE_TESTS=ON
phase "build" cmake --build --preset release --parallel "$(nproc)" --target poise_benchmarks
phase "benchmarks" build/release/bin/poise_benchmarks
phases_in_one_line
