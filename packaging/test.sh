#!/bin/bash
# Installs what is missing and checks everything, the quick things first: behind "make test".
set -euo pipefail
# shellcheck source=packaging/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$packaging/.."

phase "dependencies" packaging/install-dependencies.sh
phase "format" packaging/format.sh --check
phase "lint" packaging/lint.sh
phase "configure dev" cmake --preset dev
phase "build dev" cmake --build --preset dev --parallel "$(nproc)"
phase "test dev" ctest --preset dev
phase "configure asan" cmake --preset asan
phase "build asan" cmake --build --preset asan --parallel "$(nproc)"
phase "test asan" ctest --preset asan
phases_in_one_line
