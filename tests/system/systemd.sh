#!/usr/bin/env bash
# Tests the units in config/: the checks of systemd-analyze, the sockets that systemd passes, and whether the units
# allow all system calls of the program.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

# `systemd-analyze verify` requires that the commands of the unit exist.
mkdir "$work/units"
cp "$root"/config/ndes-proxy.{service,socket} "$work/units/"
sed -i "s|/usr/local/bin/ndes-proxy|$ndes_proxy|" "$work/units/ndes-proxy.service"
systemd-analyze verify "$work"/units/* >"$work/verify.log" 2>&1 || fail "systemd-analyze verify"
[ ! -s "$work/verify.log" ] || fail "systemd-analyze verify prints problems"
pass "systemd-analyze verify reports no problem"

# The threshold is in tenths.
systemd-analyze security --offline=true --threshold=15 --no-pager "$work/units/ndes-proxy.service" \
    >"$work/security.log" 2>&1 || fail "systemd-analyze security: more than 1.5"
pass "systemd-analyze security: $(sed -n 's/.*: \([0-9.]* [A-Z]*\).*/\1/p' "$work/security.log")"

# calls SET: prints the system calls of a set.
calls() {
    local name
    systemd-analyze syscall-filter --no-pager "$1" | sed '1d; s/#.*//' | while read -r name; do
        case $name in
            '') ;;
            @*) calls "$name" ;;
            *) echo "$name" ;;
        esac
    done
}
denied=$(sed -n 's/^SystemCallFilter=~//p' "$root/config/ndes-proxy.service")
{
    comm -23 <(calls @system-service | sort -u) <(for set in $denied; do calls "$set"; done | sort -u)
    # systemd always allows these.
    calls @default
} | sort -u >"$work/allowed"

# shellcheck disable=SC2119  # no arguments
start_demo
demo_dir=${demo_ca%/*}
sed -e 's|^https = .*|https = ["127.0.0.1:443"]|' -e 's|^admin = .*|admin = "127.0.0.1:9465"|' \
    "$demo_dir/ndes-proxy.toml" >"$demo_dir/passed.toml"
grep -q '"127.0.0.1:443"' "$demo_dir/passed.toml" || fail "the demo's configuration has no https line"
chmod -R a+rX "$demo_dir"
chmod a+rwx "$work"
# systemd-socket-activate opens the ports; the program runs as another user without privileges.
start passed systemd-socket-activate -l 127.0.0.1:443 -l 127.0.0.1:9465 \
    setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all \
    strace -D -f -qq -o "$work/strace" \
    "$ndes_proxy" run --config "$demo_dir/passed.toml"
replace_file /etc/hosts <<<"127.0.0.1 localhost scep.example.test"
# status PATH: prints the status code of a GET.
status() {
    curl -sS --cacert "$demo_ca" -o /dev/null -w '%{http_code}' "https://scep.example.test$1"
}
wait_for 10 "the sockets" curl -fsS http://127.0.0.1:9465/livez
[ "$(status '/certsrv/mscep/mscep.dll?operation=GetCACaps')" = 200 ] || fail "GetCACaps on a passed socket"
[ "$(status '/certsrv/mscep_admin/')" = 404 ] || fail "a refusal on a passed socket"
kill -HUP "${pid[passed]}"
reloaded() {
    curl -fsS http://127.0.0.1:9465/metrics | grep -q '^ndes_proxy_reloads_total{result="success"} 1$'
}
wait_for 10 "a reload" reloaded
kill -USR2 "${pid[passed]}"
wait "${pid[passed]}" || fail "the program exits with $?"
unset 'pid[passed]'
grep -q stopped "$work/passed.log" || fail "the log does not report that the program stopped"
successor=$(sed -n 's/.*handed over.* pid=\([0-9]*\).*/\1/p' "$work/passed.log")
[ "$(status '/certsrv/mscep/mscep.dll?operation=GetCACaps')" = 200 ] || fail "GetCACaps by the successor"
kill -TERM "$successor"
wait_for 10 "the exit of the successor" eval "! kill -0 $successor"
pass "an unprivileged program serves port 443 with sockets of systemd, and so does its successor"

sed -n 's/^[0-9]* *\([a-z_0-9]*\)(.*/\1/p' "$work/strace" | sort -u >"$work/made"
[ "$(wc -l <"$work/made")" -gt 20 ] || fail "strace has recorded too few system calls"
comm -23 "$work/made" "$work/allowed" >"$work/forbidden"
[ ! -s "$work/forbidden" ] || fail "not allowed by the unit: $(tr '\n' ' ' <"$work/forbidden")"
pass "all $(wc -l <"$work/made") system calls are allowed by the unit"
