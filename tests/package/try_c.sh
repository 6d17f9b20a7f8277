#!/bin/bash
# try_c.sh BUILD EXAMPLE WORK COMPILER [FLAG...]: installs the worker library into a directory of its
# own, and compiles and runs the example of topsman.h as a stranger does who knows pkg-config.
set -euo pipefail
build=$1 example=$2 work=$3 compiler=$4
shift 4
command -v pkg-config >/dev/null || { echo "skipped: no pkg-config"; exit 77; }
rm -rf "$work"
cmake --install "$build" --component sdk --prefix "$work/prefix" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name topsman.pc)")
export PKG_CONFIG_PATH
libraries=$(pkg-config --variable=libdir topsman)
# shellcheck disable=SC2046  # flags are words
"$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror "$@" "$example" -o "$work/example" \
    $(pkg-config --cflags --libs topsman) "-Wl,-rpath,$libraries"
"$work/example"
ldd "$work/example" | grep -F "libtopsman.so.0 => $libraries/"
echo "topsman $(pkg-config --modversion topsman) serves C"
