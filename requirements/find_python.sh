#!/usr/bin/env bash
# Prints the path of a CPython: $PYTHON, python3.X, or one of pyenv or uv; fails if there is none.
#
#   requirements/find_python.sh PYTHON_VERSION
set -euo pipefail

version=$1

runs_here() { # shims of pyenv and python3.X without venv exist, but do not run
  "$1" -c "import ensurepip, sys, venv
sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in \
    "${PYTHON:-}" \
    "python$version" \
    "$(pyenv root 2>/dev/null || echo "$HOME/.pyenv")/versions/$version"*/bin/python \
    "$(uv python find --system "$version" 2>/dev/null)" \
    python3; do
    if [ -n "$candidate" ] && runs_here "$candidate"; then
      # Base interpreter of an active environment, which may be the environment to replace.
      "$candidate" -c "import os, sys
base = os.path.join(sys.base_prefix, 'bin', 'python$version')
print(base if os.access(base, os.X_OK) else sys.executable)"
      return
    fi
  done
  return 1
}

find_python
