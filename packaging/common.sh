# shellcheck shell=bash
# Sourced by the other scripts of this folder.
packaging=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# phase NAME COMMAND... runs the command, says how long it took, and returns its status. The command should be a
# program: "set -e" does not reach into a shell function that is run from here.
phase() {
  local name=$1 start status=0
  shift
  start=$(date +%s%3N)
  printf '==> %s\n' "$name"
  "$@" || status=$?
  if [ "$status" -eq 0 ]; then
    printf '==> %s: %s\n' "$name" "$(seconds_since "$start")"
  else
    printf '==> %s: failed after %s\n' "$name" "$(seconds_since "$start")" >&2
  fi
  return "$status"
}

# seconds_since START, where START is what "date +%s%3N" printed.
seconds_since() {
  local elapsed=$(($(date +%s%3N) - $1))
  printf '%d.%d s' $((elapsed / 1000)) $((elapsed % 1000 / 100))
}

# pinned PACKAGE: the version of a wheel in the requirements files.
pinned() {
  sed -n "s/^$1==\([0-9.]*\).*/\1/p" "$packaging"/*-requirements.txt
}

# Where the wheels are unpacked; sdk/cmake/PoiseTorch.cmake looks for LibTorch there.
cache_folder() {
  [ -n "${XDG_CACHE_HOME:-${HOME:-}}" ] || return 1
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/poise"
}
