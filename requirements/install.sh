#!/usr/bin/env bash
# Creates a virtual environment with the packages of one lock file and mukoe itself, editable.
#
#   requirements/install.sh VENV PYTHON_VERSION LOCK
#
# Does nothing if the environment is up to date, and recreates an incomplete or moved one. Python is
# searched as python3.X, in pyenv and in uv.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1 version=$2 lock=$3
bootstrap=requirements/bootstrap.txt
stamp=$venv/.installed

die() {
  echo "mukoe: $*" >&2
  exit 1
}

runs_here() {
  "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1
}

# One installation into a folder at a time.
if command -v flock >/dev/null; then
  exec 9>"$venv.lock"
  flock -w 900 9 || die "another installation into $venv holds its lock for more than 15 minutes"
fi

wanted=$(echo "$PWD"; cat "$lock" $bootstrap setup.cfg pyproject.toml "$0" | cksum)
if [ -e "$stamp" ] && ! runs_here "$venv/bin/python"; then
  rm -f "$stamp"
fi
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  exit 0
fi

if [ "$lock" = requirements/lock-py310.txt ] && [ "$(uname -sm)" != "Linux x86_64" ]; then
  die "Launchpad and Reverb have packages for Linux x86-64 only, and this is $(uname -sm);" \
    "the core runs here: make test-core, or pip install -e ."
fi

# With a stamp the environment is complete and is updated; without one it is incomplete.
if [ ! -e "$stamp" ] || [ "$(head -n 1 "$stamp")" != "$PWD" ]; then
  python=$(requirements/find_python.sh "$version") || die "Python $version was not found as python$version, in pyenv" \
    "or in uv; install it (pyenv install $version, or uv python install $version)," \
    "or give its path: PYTHON=/path/to/python$version"
  echo "mukoe: creating $venv with $python"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
rm -f "$stamp"

# uv reads other variables than pip; the settings of pip apply to both.
ca_bundle=${PIP_CERT:-${REQUESTS_CA_BUNDLE:-}}
if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "$ca_bundle" ]; then
  export SSL_CERT_FILE=$ca_bundle
fi
index=$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)
index=${PIP_INDEX_URL:-$index}
if [ -z "${UV_DEFAULT_INDEX:-}" ] && [ -n "$index" ]; then
  export UV_DEFAULT_INDEX=$index
fi
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}
export UV_LINK_MODE=${UV_LINK_MODE:-copy} # links would share files with a cache that other processes change

if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check \
    --require-hashes -r $bootstrap
fi
uv=("$venv/bin/uv" pip)
# Source distributions (dm-acme) are built with the setuptools of the lock.
"${uv[@]}" sync --python "$venv/bin/python" --require-hashes --build-constraints "$lock" "$lock"
"${uv[@]}" install --python "$venv/bin/python" --quiet --no-deps --no-build-isolation -e .
"${uv[@]}" check --python "$venv/bin/python"
echo "$wanted" >"$stamp"
