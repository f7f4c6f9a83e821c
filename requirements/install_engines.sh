#!/usr/bin/env bash
# Installs the game engines of the tests, GNU Go and Stockfish, as Debian packages where they are
# missing. Fails with one line where that is not possible.
set -euo pipefail
PATH=$PATH:/usr/games:/usr/local/games

missing=()
for engine in gnugo stockfish; do
  command -v "$engine" >/dev/null || missing+=("$engine")
done
if [ ${#missing[@]} = 0 ]; then
  exit 0
fi

die() {
  echo "mukoe: $*; the tests of games need ${missing[*]}" >&2
  exit 1
}

command -v apt-get >/dev/null || die "this system has no apt-get"
as_root=()
if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || die "apt-get needs root; run: sudo apt-get install ${missing[*]}"
  as_root=(sudo -n)
fi
export DEBIAN_FRONTEND=noninteractive
install=("${as_root[@]}" apt-get install --yes --no-install-recommends "${missing[@]}")
# The lists of packages may be missing or old.
"${install[@]}" >/dev/null 2>&1 ||
  { "${as_root[@]}" apt-get update >/dev/null 2>&1 && "${install[@]}" >/dev/null 2>&1; } ||
  die "apt-get install ${missing[*]} failed"
echo "mukoe: installed ${missing[*]}"
