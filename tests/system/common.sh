# Functions and variables of all system tests, which source this file.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
ndes_proxy=${NDES_PROXY:-$target_dir/debug/ndes-proxy}

# isolate ARG...: runs the calling script again as root in new network, mount and process namespaces. There, all ports
# are free and not reachable from outside, mounts over files in /etc are invisible to all other processes, and all
# processes end with the script.
isolate() {
    if [ "${NDES_PROXY_ISOLATED:-}" != yes ]; then
        local as_root=()
        [ "$(id -u)" = 0 ] || as_root=(sudo)
        exec "${as_root[@]}" env NDES_PROXY_ISOLATED=yes NDES_PROXY="$ndes_proxy" \
            CARGO_TARGET_DIR="$target_dir" \
            unshare --net --mount --pid --fork --mount-proc --kill-child \
            bash "$(realpath "$0")" "$@"
    fi
    work=$(mktemp -d)
    trap finish EXIT
    ip link set lo up
}

# install_venv DIR VENV_OPTION PIP_ARG...: installs packages from PyPI in the venv DIR if they are not installed yet.
# VENV_OPTION may be empty. Call it before `isolate`, after which there is no network.
install_venv() {
    local dir=$1 option=$2
    shift 2
    [ "${NDES_PROXY_ISOLATED:-}" != yes ] && [ ! -e "$dir/complete" ] || return 0
    rm -rf "$dir"
    /usr/bin/python3 -m venv ${option:+"$option"} "$dir"
    "$dir/bin/pip" install -q --disable-pip-version-check "$@"
    touch "$dir/complete"
}

# start NAME COMMAND...: runs COMMAND in the background, with its output in $work/NAME.log and its pid in ${pid[NAME]}.
declare -A pid=()
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 &
    pid[$name]=$!
}

# stop NAME: terminates what `start` has started, and waits until it has exited.
stop() {
    kill "${pid[$1]}" 2>/dev/null || true
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}

# Terminates everything that `start` has started. After a failure, first prints the last lines of each log.
finish() {
    local code=$? name
    trap - EXIT
    if [ "$code" != 0 ]; then
        for name in "$work"/*.log; do
            [ -s "$name" ] || continue
            printf -- '---- last lines of %s\n' "${name##*/}"
            tail -n 40 "$name"
        done
    fi
    for name in "${!pid[@]}"; do
        stop "$name"
    done
    rm -rf "$work"
    exit "$code"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

pass() {
    echo "ok: $*"
}

# wait_for SECONDS WHAT COMMAND...: runs COMMAND every 0.1 s until it succeeds.
wait_for() {
    local tries=$(($1 * 10)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "timeout while waiting for $what"
        sleep 0.1
    done
}

# start_demo ARG...: starts the demo and sets what it prints: $demo_public (URL), $demo_metrics (URL), $demo_ca (file).
start_demo() {
    start demo "$ndes_proxy" demo "$@"
    wait_for 10 "the output of the demo" demo_printed
    wait_for 10 "the demo's metrics" curl -fsS "$demo_metrics"
}

# shellcheck disable=SC2034  # read by the scripts that source this
demo_printed() {
    demo_public=$(grep -om1 "https://[^' ]*/mscep\.dll" "$work/demo.log") &&
        demo_metrics=$(grep -om1 "http://[^' ]*/metrics" "$work/demo.log") &&
        demo_ca=$(grep -om1 "/[^' ]*/demo-ca\.pem" "$work/demo.log") && [ -s "$demo_ca" ]
}

# replace_file FILE: replaces the contents of FILE by standard input, in this namespace only.
declare -A replaced=()
replace_file() {
    if [ -z "${replaced[$1]-}" ]; then
        replaced[$1]=$(mktemp -p "$work")
        chmod 644 "${replaced[$1]}"
        mount --bind "${replaced[$1]}" "$(realpath "$1")"
    fi
    cat >"${replaced[$1]}"
}
