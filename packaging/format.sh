#!/bin/bash
# format.sh formats all C++ files; format.sh --check only says which lines are not formatted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

arguments=(-i)
[ "${1:-}" != --check ] || arguments=(--dry-run --Werror)
git ls-files -z --cached --others --exclude-standard '*.cpp' '*.h' '*.cu' |
  xargs -0 --no-run-if-empty clang-format "${arguments[@]}"
