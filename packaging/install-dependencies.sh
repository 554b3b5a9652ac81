#!/bin/bash
# Brings what a fresh Debian 12 lacks to build, test and run Poise: Debian packages (as root), and into the user's cache
# folder LibTorch and clang-tidy. Safe to run again; asks no network for what is there.
#
#   packaging/install-dependencies.sh
#   POISE_TORCH=DIR packaging/install-dependencies.sh    uses the LibTorch in DIR and fetches none
set -euo pipefail
# shellcheck source=packaging/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  # build
  g++ cmake ninja-build pkg-config ccache mold make git ca-certificates
  # libraries
  libboost-dev libboost-filesystem-dev libcli11-dev libelf-dev libjs-chart.js libsndfile1-dev libsodium-dev libspdlog-dev
  libtomlplusplus-dev nlohmann-json3-dev zlib1g-dev
  # tests, benchmarks, checks
  clang-format flac libbenchmark-dev libgmock-dev libgtest-dev python3-numpy shellcheck
  # fetches the wheels
  python3 python3-pip
)

main() {
  warn_unless_debian_12
  install_packages
  if [ -n "${POISE_TORCH:-}" ]; then
    local problem
    problem=$(torch_problem "$POISE_TORCH")
    [ -z "$problem" ] || stop "POISE_TORCH=$POISE_TORCH cannot be used: $problem"
    echo "==> LibTorch: $POISE_TORCH, named by POISE_TORCH"
  else
    install_wheels torch libtorch torch_problem "550 MB, 1.3 GB unpacked" \
      "without a network, set POISE_TORCH=DIR to a folder that holds LibTorch $(pinned torch)."
  fi
  install_wheels clang-tidy clang-tidy clang_tidy_problem "45 MB, 160 MB unpacked" \
    "only the checks of \"make test\" and \"make lint\" need it."
}

stop() {
  printf 'install-dependencies: %s\n' "$*" >&2
  exit 1
}

warn_unless_debian_12() {
  local name
  name=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}") || name=unknown
  [ "$name" = "debian 12" ] && return
  command -v dpkg-query apt-get >/dev/null ||
    stop "this system ($name) has no apt-get: install what packaging/install-dependencies.sh lists by hand."
  echo "==> This system is $name; Poise is tested on debian 12. Trying all the same."
}

install_packages() {
  local start missing apt log
  start=$(date +%s%3N)
  mapfile -t missing < <(missing_packages)
  if [ ${#missing[@]} -eq 0 ]; then
    echo "==> Debian packages: all ${#packages[@]} are there"
    return
  fi
  apt="apt-get install -y --no-install-recommends ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || stop "Debian packages are missing and only root can install them; type: sudo $apt"

  echo "==> Debian packages: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  # A repository that cannot be reached matters only if the installation then fails.
  apt-get -q update </dev/null >"$log" 2>&1 || true
  $apt -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 </dev/null >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; stop "apt-get could not install the packages: its last words stand above, all in $log."; }
  rm "$log"
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -eq 0 ] || stop "apt-get ended well, but these packages are still missing: ${missing[*]}"
  echo "==> Debian packages: $(seconds_since "$start")"
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# install_wheels PACKAGE REQUIREMENTS PROBLEM SIZE OTHERWISE: unpacks the wheels of a requirements file into a folder of
# the cache, whole or not at all. PROBLEM FOLDER prints why the folder cannot be used, or nothing.
install_wheels() {
  local package=$1 requirements=$packaging/$2-requirements.txt problem_in=$3 size=$4 otherwise=$5
  local start name cache target partial problem
  start=$(date +%s%3N)
  name="$package-$(pinned "$package")"
  cache=$(cache_folder) || stop "neither HOME nor XDG_CACHE_HOME is set, so there is no cache folder."
  target="$cache/$name"
  partial="$target.partial"
  mkdir -p "$cache" || stop "the cache folder $cache cannot be made."
  # One installation at a time; whatever lies in $partial afterwards is left over from one that was killed.
  exec 9>"$cache/lock"
  flock 9

  if [ -z "$("$problem_in" "$target")" ]; then
    echo "==> $name: is there, $target"
    return
  fi
  # shellcheck disable=SC2064  # the path of now: the variable is gone when the script ends
  trap "rm -rf '$partial'" EXIT
  rm -rf "$target" "$partial"
  mkdir -p "$partial/tmp"
  echo "==> $name: fetching it from PyPI ($size) into $target"
  TMPDIR="$partial/tmp" pip_install "$requirements" "$partial/wheels" ||
    stop "pip could not fetch $name from PyPI (its reason stands above); $otherwise"
  problem=$("$problem_in" "$partial/wheels")
  [ -z "$problem" ] || stop "$name was fetched, but it cannot be used: $problem"
  sync -f "$partial/wheels"
  mv "$partial/wheels" "$target"
  rm -rf "$partial"
  echo "==> $name: $(seconds_since "$start")"
}

# Libraries and programs of the wheels do not depend on a Python: so one wheel, whatever python3 is.
pip_install() {
  /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore \
    --no-deps --no-compile --no-cache-dir --target "$2" --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
    --require-hashes --requirement "$1" </dev/null
}

# The folder is an official LibTorch (include/, lib/) or what pip --target leaves (torch/include, torch/lib, nvidia/).
torch_problem() {
  local root=$1 file version wanted unresolved
  [ -d "$root" ] || { echo "there is no such folder."; return; }
  [ ! -d "$root/torch/lib" ] || root=$root/torch
  for file in include/torch/csrc/api/include/torch/version.h include/torch/headeronly/version.h \
    lib/libc10.so lib/libtorch_cpu.so; do
    [ -f "$root/$file" ] || { echo "$root/$file is missing."; return; }
  done
  version=$(sed -n 's/^#define TORCH_VERSION_\(MAJOR\|MINOR\|PATCH\) *//p' "$root/include/torch/headeronly/version.h" |
    paste -sd.)
  wanted=$(pinned torch)
  [ "${version%.*}" = "${wanted%.*}" ] ||
    { echo "it holds LibTorch $version, and Poise needs ${wanted%.*}."; return; }
  unresolved=$(ldd "$root/lib/libtorch_cpu.so" 2>&1 | sed -n 's/^[[:space:]]*\(.*\) => not found.*/\1/p' | paste -sd' ')
  [ -z "$unresolved" ] || echo "its libtorch_cpu.so does not find $unresolved."
}

clang_tidy_problem() {
  "$1/clang_tidy/data/bin/clang-tidy" --version >/dev/null 2>&1 || echo "its clang-tidy does not run."
}

main
