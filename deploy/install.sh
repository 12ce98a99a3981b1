#!/bin/sh
# Installs blobdrop as a service of systemd, from the checkout that this file is in. Once more: upgrades, or does nothing.
#
#   sudo deploy/install.sh                 into /opt/blobdrop, /etc/blobdrop and /etc/systemd/system
#   sudo deploy/install.sh --uninstall     takes the program and the unit away; configuration and data stay
#
# --python PROGRAM   the Python that it runs with, 3.11 or newer and for every user; else /usr/bin/python3
# --root DIR         installs below DIR, as for an image; no service is stopped or started
set -eu
umask 022
# What somebody's shell has lying there is no part of the program, whatever pip may think.
unset PYTHONPATH PYTHONHOME

root='' python=/usr/bin/python3 uninstall=''

main() {
    read_options "$@"
    program=$root/opt/blobdrop settings=$root/etc/blobdrop unit=$root/etc/systemd/system/blobdrop.service
    command=$root/usr/local/bin/blobdrop
    [ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "this needs root: sudo $0"
    if [ -n "$uninstall" ]; then remove; else install_all; fi
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --root) [ -d "${2:-}" ] || fail "--root '${2:-}': there is no such folder"; root=$(cd "$2" && pwd -P); shift ;;
            --python) command -v "${2:-}" >/dev/null || fail "--python '${2:-}': there is no such program"; python=$2; shift ;;
            --uninstall) uninstall=yes ;;
            -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
            *) fail "'$1': there is no such option; --help lists them" ;;
        esac
        shift
    done
    if [ "$root" = / ]; then root=''; fi
}

install_all() {
    checkout=$(cd "$(dirname "$0")/.." && pwd -P)
    check_python
    # One environment for each state of lock and program: a failed upgrade leaves the running one as it is.
    state=$(cd "$checkout" && find daemon validators pyproject.toml README.md deploy/requirements.lock -type f \
        ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | cat - "$python" | sha256sum | cut -c1-12)
    environment=$program/venv-$state
    mkdir -p "$program" "$(dirname "$command")" "$(dirname "$unit")"
    [ -f "$environment/.complete" ] || build
    check_settings
    ln -sfn "venv-$state" "$program/venv"
    ln -sfn /opt/blobdrop/venv/bin/blobdrop "$command"
    install -m 644 "$checkout/README.md" "$checkout/deploy/alerts.yml" "$checkout/deploy/grafana.json" "$program/"
    configure
    install -m 644 "$checkout/deploy/blobdrop.service" "$unit"
    start
    for old in "$program"/venv-*; do
        [ "$old" = "$environment" ] || rm -rf "$old"
    done
}

check_python() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11: give a newer one with --python"
    where=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
    case $where in
        /root/* | /home/*) fail "$where is in somebody's home, where the service may not look: give a Python of the" \
            "system with --python" ;;
    esac
}

build() {
    say "making $environment"
    rm -rf "$environment"
    "$python" -m venv "$environment" || fail "venv is missing: install your system's python3-venv package"
    say "installing what deploy/requirements.lock pins"
    quiet_pip --require-hashes -r "$checkout/deploy/requirements.lock"
    # From a copy, as building writes into the folder that it builds.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R "$checkout/daemon" "$checkout/validators" "$checkout/pyproject.toml" "$checkout/README.md" "$copy"
    quiet_pip --no-deps --no-build-isolation "$copy"
    # Below --root the environment is built where it will not be used.
    sed -i "1,2s,$root/opt/blobdrop/,/opt/blobdrop/,g" "$environment"/bin/*
    # Without bytecode each start takes seconds longer, and the service may not write it.
    "$environment/bin/python" -m compileall -q -j 0 ${root:+-s "$root"} "$environment/lib" || true
    touch "$environment/.complete"
}

quiet_pip() {
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile "$@"
}

# At its restart a wrong configuration would end for good a service that goes on with what it was started with.
check_settings() {
    if is_running && ! "$environment/bin/blobdrop" config --config "$settings/blobdrop.toml" >/dev/null; then
        fail "$settings/blobdrop.toml or a contract is wrong: mend that, and install once more. The service goes on with" \
            "the program that it has"
    fi
}

configure() {
    mkdir -p "$settings"
    if [ -e "$settings/blobdrop.toml" ]; then
        say "$settings/blobdrop.toml stays as it is"
        return
    fi
    # What is relative would start at /etc/blobdrop.
    sed -e 's,^#url = "drops"$,url = "/var/lib/blobdrop/drops",' \
        -e 's,^#url = "var/\(tables\|quarantine\)"$,url = "/var/lib/blobdrop/\1",' \
        -e 's,^#url = "sqlite:///var/ledger.db"$,url = "sqlite:////var/lib/blobdrop/ledger.db",' \
        "$checkout/deploy/blobdrop.toml" >"$settings/blobdrop.toml.new"
    mv "$settings/blobdrop.toml.new" "$settings/blobdrop.toml"
}

start() {
    if ! command -v systemctl >/dev/null; then
        say "there is no systemctl here; the unit is at $unit"
        return
    fi
    systemctl ${root:+--root="$root"} --quiet enable blobdrop.service
    if ! is_booted; then
        say "installed"
        return
    fi
    systemctl daemon-reload
    if is_running; then
        systemctl restart blobdrop.service
        say "installed and restarted"
    else
        say "installed; set up $settings/blobdrop.toml, then: systemctl start blobdrop"
    fi
}

remove() {
    if is_booted; then systemctl --quiet disable --now blobdrop.service 2>/dev/null || true; fi
    rm -f "$unit" "$root/etc/systemd/system/multi-user.target.wants/blobdrop.service" "$command"
    rm -rf "$program"
    if is_booted; then systemctl daemon-reload; fi
    say "removed; what stays: $settings and $root/var/lib/blobdrop"
}

# Whether the system that is installed into is the one that runs, and systemd runs it.
is_booted() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

is_running() {
    is_booted && systemctl --quiet is-active blobdrop.service
}

say() {
    echo "install.sh: $*"
}

fail() {
    echo "install.sh: $*" >&2
    exit 2
}

main "$@"
