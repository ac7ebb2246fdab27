#!/usr/bin/env bash
# Make the environment that `make demo` and `make test` run in.  Safe to run twice, as root or not.
usage() {
    cat <<'TEXT'
usage: tools/bootstrap.sh [run|test]

  run   make .venv and install vsearch into it (default)
  test  the same, and what the tests need: the dependency group `test`, strace, a C compiler, Chromium and a font

PYTHON names the interpreter to use; without it the newest suitable one is found on the PATH.
TEXT
}

set -euo pipefail
cd "$(dirname "$0")/.."
venv_python=.venv/bin/python
oldest='3.11'

say() { printf 'bootstrap: %s\n' "$*" >&2; }
fail() { say "$@"; exit 2; }

suits() { "$1" -c "import sys; sys.exit(sys.version_info < (${oldest/./, }))" 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if suits "$candidate"; then command -v "$candidate"; return; fi
    done
    fail "vsearch needs Python $oldest or newer, and found" \
        "$(${PYTHON:-python3} --version 2>&1 | head -1). Install one, or name it: make PYTHON=/path/to/python3"
}

# Install Debian packages where that is possible without a password; the status says whether it was.
apt_install() {
    local root=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        root=(sudo -n)
    fi
    say "installing with apt-get: $*"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >&2 && return
    "${root[@]}" apt-get -qq update >&2
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >&2
}

make_venv() {
    local python
    "$venv_python" -m pip --version >/dev/null 2>&1 && return
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install python3-venv || fail "$python cannot make environments: install the package python3-venv"
    fi
    "$python" -m venv .venv
}

# pip compiles modules one after another, which takes a minute and more for PyTorch's; here every core does.
pip_install() {
    "$venv_python" -m pip -qq --disable-pip-version-check install --no-compile "$@"
    "$venv_python" -m compileall -qq -j 0 .venv/lib || true # some packages carry files that are not for this Python
}

install_vsearch() {
    say "installing vsearch and what it needs (PyTorch, FAISS) into .venv: a few minutes, about 8 GB of disk"
    pip_install --upgrade 'pip>=25.1' # the first pip that knows dependency groups
    pip_install --editable '.[serve]'
}

# The tests of the page drive the system's Chromium; without one they are skipped, and say so.
install_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return
    done
    apt_install chromium fonts-inter fonts-noto-color-emoji || say "no Chromium: the tests of the page will be skipped"
}

install_test_tools() {
    say "installing what the tests need"
    pip_install --group test
    local missing=()
    command -v strace >/dev/null || missing+=(strace)
    command -v gcc >/dev/null || missing+=(gcc libc6-dev)
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}" || fail \
        "the durability tests need ${missing[*]}; as root: apt-get install ${missing[*]} (or your system's packages)"
    install_browser
}

case "${1:-run}" in
    -h | --help) usage ;;
    run) make_venv; install_vsearch ;;
    test) make_venv; install_vsearch; install_test_tools ;;
    *) usage >&2; exit 2 ;;
esac
