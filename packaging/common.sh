# shellcheck shell=bash
# Sourced by the other scripts of this folder.
packaging=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

phases=()

# phase NAME COMMAND... runs the command, says how long it took, and returns its status. The command should be a
# program: "set -e" does not reach into a shell function that is run from here.
phase() {
  local name=$1 start took status=0
  shift
  start=$(date +%s%3N)
  printf '==> %s\n' "$name"
  "$@" || status=$?
  took=$(seconds_since "$start")
  if [ "$status" -ne 0 ]; then
    printf '==> %s: failed after %s\n' "$name" "$took" >&2
    return "$status"
  fi
  printf '==> %s: %s\n' "$name" "$took"
  phases+=("$name $took")
}

# All phases in one line, with their sum.
phases_in_one_line() {
  printf '==> '
  printf '%s, ' "${phases[@]}"
  printf 'together %d s\n' "$SECONDS"
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
