#!/bin/sh
# Makes .venv from requirements.lock and sees to RabbitMQ. Run again it finds nothing to do, at the price of two small files.
#   TURUMBA_PYTHON      the interpreter to use (3.11 or newer) instead of the newest one found
#   TURUMBA_BROKER_URL  a running broker: no RabbitMQ is installed then
set -eu
cd "$(dirname "$0")/../.."

UV_VERSION=0.13.9
RABBITMQ=/usr/lib/rabbitmq/bin/rabbitmq-server
STAMP=.venv/.turumba-stamp
LOG=.local/bootstrap.log

say() { printf '%s\n' "$*" >&2; }
fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Runs a command as root. 126 when there is no way to become root without asking someone who is not there.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
        say "sudo may ask for your password, to install packages."
        sudo "$@"
    else
        return 126
    fi
}

# Installs Debian packages without starting their services: a policy-rc.d that says no, unless the machine has its own.
install_packages() {
    command -v apt-get >/dev/null 2>&1 || return 127
    say "  apt-get's output: $LOG"
    as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $policy" EXIT
            trap "exit 130" HUP INT TERM
            printf "#!/bin/sh\n# Temporary, by deploy/local/bootstrap.sh: install without starting services.\nexit 101\n" >"$policy"
            chmod 755 "$policy"
        fi
        apt-get -qq -o DPkg::Lock::Timeout=300 update || echo "apt-get update failed; trying with the lists at hand." >&2
        apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
    ' sh "$@" >>"$LOG" 2>&1 9>&- || {
        tail -n 15 "$LOG" >&2
        return 1
    }
}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
recent() { [ "$("$1" -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)" = True ]; }
makes_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Prints the newest interpreter that passes both tests, or else the newest that passes the first. By running it, since shims
# exist under names of interpreters that are not there.
find_python() {
    if [ -n "${TURUMBA_PYTHON:-}" ]; then
        recent "$TURUMBA_PYTHON" || fail "TURUMBA_PYTHON=$TURUMBA_PYTHON is not a Python of version 3.11 or newer."
        printf '%s\n' "$TURUMBA_PYTHON"
        return
    fi
    second_best=
    for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
        recent "$candidate" || continue
        if makes_environments "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        [ -n "$second_best" ] || second_best=$candidate
    done
    [ -n "$second_best" ] || fail "Found no Python 3.11 or newer. Install one (Debian 12, Ubuntu 24.04 or later: sudo apt-get install python3)," \
        "or name it: TURUMBA_PYTHON=/path/to/python3.12 make run"
    printf '%s\n' "$second_best"
}

fingerprint() {
    {
        .venv/bin/python -c 'import sys; print(sys.version, sys.prefix)' &&
            pwd -P && cat requirements.lock pyproject.toml deploy/local/bootstrap.sh
    } 2>/dev/null | sha256sum | cut -d' ' -f1
}

environment_is_right() {
    [ -f "$STAMP" ] && recent .venv/bin/python && [ "$(cat "$STAMP")" = "$(fingerprint)" ] || return 1
    [ -z "${TURUMBA_PYTHON:-}" ] || [ "$(version_of "$TURUMBA_PYTHON")" = "$(version_of .venv/bin/python)" ]
}

make_environment() {
    if recent .venv/bin/python && [ -z "${TURUMBA_PYTHON:-}" ]; then
        python=.venv/bin/python # keep what is there
    else
        python=$(find_python)
    fi
    if [ ! -x .boot/bin/uv ] || ! .boot/bin/uv --version 2>/dev/null | grep -qF " $UV_VERSION"; then
        base=$python
        [ "$python" != .venv/bin/python ] || base=$(find_python)
        if ! makes_environments "$base"; then
            say "$base can't make virtual environments; installing the package for that."
            package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
            install_packages "$package" || install_packages python3-venv || true
            makes_environments "$base" || fail "$base can't make virtual environments and installing $package did not work." \
                "Install it as root (apt-get install $package), or name another interpreter: TURUMBA_PYTHON=/path/to/python make run"
        fi
        say "Fetching the installer (uv $UV_VERSION)…"
        "$base" -m venv --clear .boot
        .boot/bin/python -m pip install -q --disable-pip-version-check "uv==$UV_VERSION" ||
            fail "Could not fetch uv with pip. Is there a network, or a package mirror set up for pip?"
    fi
    say "Setting up .venv with $("$python" --version)…"
    export UV_PYTHON_DOWNLOADS=never
    if [ "$python" != .venv/bin/python ]; then
        .boot/bin/uv venv -q --clear --python "$python" .venv
    fi
    rm -f "$STAMP"
    # Compiled once, here: dozens of processes are started from it.
    .boot/bin/uv pip sync -q --compile-bytecode --python .venv/bin/python --require-hashes requirements.lock &&
        .boot/bin/uv pip install -q --python .venv/bin/python --no-build-isolation --no-deps -e . ||
        fail "Installing the locked packages for $(.venv/bin/python --version) failed (see above)." \
            "Without a network nothing can be fetched; with a very new Python, try an older one: TURUMBA_PYTHON=python3.12 make run"
    fingerprint >"$STAMP"
}

ensure_rabbitmq() {
    [ -z "${TURUMBA_BROKER_URL:-}" ] && [ ! -x "$RABBITMQ" ] || return 0
    say "Installing RabbitMQ (the system's package, without starting its service)…"
    install_packages rabbitmq-server || true
    [ -x "$RABBITMQ" ] || fail "" \
        "RabbitMQ is not installed, and installing it did not work: that takes apt-get, a network, and root or sudo. Either" \
        "  install it as root:      apt-get update && apt-get install -y --no-install-recommends rabbitmq-server" \
        "  or use a running server: TURUMBA_BROKER_URL=amqp://user:password@host:5672/vhost make run"
}

[ -d .local ] || mkdir -m 711 .local
exec 9>.local/bootstrap.lock
if command -v flock >/dev/null 2>&1; then
    flock -w 900 9 || fail "Another set-up of this repository has been running for 15 minutes; see .local/bootstrap.lock."
fi
ensure_rabbitmq
environment_is_right || make_environment
