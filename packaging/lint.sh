#!/bin/bash
# clang-tidy on the C++ files that changed since origin/main, or since the commit before where that is the same; a
# changed header is checked by the first file that includes it. lint.sh --all checks every file.
set -euo pipefail
# shellcheck source=packaging/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$packaging/.."

tidy="$(cache_folder)/clang-tidy-$(pinned clang-tidy)/clang_tidy/data/bin"
if [ ! -x "$tidy/clang-tidy" ]; then
  echo "lint: clang-tidy is not in $tidy; run packaging/install-dependencies.sh." >&2
  exit 1
fi

main() {
  local sources
  shellcheck -x packaging/*.sh .ci/run
  mapfile -t sources < <(if [ "${1:-}" = --all ]; then all_sources; else changed_sources; fi)
  echo "clang-tidy: ${#sources[@]} files"
  [ ${#sources[@]} -gt 0 ] || return 0
  # A folder of its own: clang reads no header that GCC precompiled.
  cmake --preset dev -B build/lint -DPOISE_PCH=OFF -DPOISE_WERROR=OFF >/dev/null
  # run-clang-tidy takes regular expressions of absolute paths.
  /usr/bin/python3 "$tidy/run-clang-tidy.py" -quiet -j "$(nproc)" -clang-tidy-binary "$tidy/clang-tidy" \
    -extra-arg=-Wno-unknown-warning-option -p build/lint \
    "${sources[@]/#/^$PWD/}"
}

all_sources() {
  git ls-files --cached --others --exclude-standard '*.cpp'
}

changed_sources() {
  local file
  { git diff --name-only --diff-filter=d "$(base)" -- '*.cpp' '*.h'
    git ls-files --others --exclude-standard '*.cpp' '*.h'; } |
    while read -r file; do
      case $file in
        *.h) git grep --untracked -l "#include [<\"].*\b$(basename "$file")[\">]" -- '*.cpp' | head -n 1 || true ;;
        *) echo "$file" ;;
      esac
    done | sort -u
}

base() {
  local common
  if common=$(git merge-base HEAD origin/main 2>/dev/null) && [ "$common" != "$(git rev-parse HEAD)" ]; then
    echo "$common"
  else
    # The empty tree, when there is no commit before.
    git rev-parse --verify --quiet HEAD~1 || git hash-object -t tree /dev/null
  fi
}

main "$@"
