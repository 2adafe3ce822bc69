#!/usr/bin/env bash
# 1000 slow clients at a time (slow request heads, slow bodies, slow readers) hold TLS connections while a normal client
# sends requests. Every request of the normal client must be served, and the slow connections must be closed in time.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"
ulimit -n "$(ulimit -Hn)"

clients=1000
# All timeouts of the proxy in seconds: long enough for all slow clients to be connected at the same time on a busy
# machine. After the last response, the proxy waits up to `linger` seconds for the client to close.
timeout=10
linger=10

# A second proxy uses the demo's simulated NDES and certificates. It has short timeouts, and limits per client that are
# too high to matter: only the timeouts are under test.
# shellcheck disable=SC2119  # no arguments
start_demo
dir=$(dirname "$demo_ca")
{
    sed -e 's/^https = .*/https = ["127.0.0.1:9443"]/' -e 's/^admin = .*/admin = "127.0.0.1:9465"/' "$dir/ndes-proxy.toml"
    cat <<CONF
[timeouts]
tls_handshake = "${timeout}s"
request_head = "${timeout}s"
request_body = "${timeout}s"
keep_alive = "${timeout}s"
response_write = "${timeout}s"
[limits]
connections_per_client = 4000
[rate_limit]
per_client = { per_second = 10000, burst = 10000 }
refused_per_client = { per_second = 10000, burst = 10000 }
global = { per_second = 10000, burst = 10000 }
CONF
} >"$dir/slow.toml"
start proxy "$ndes_proxy" run --config "$dir/slow.toml"
wait_for 10 "/readyz" curl -fsS http://127.0.0.1:9465/readyz
url=https://localhost:9443/certsrv/mscep/mscep.dll

# --- The normal client -----------------------------------------------------------------------------

# Sends one request after the other, each on a new connection, until SIGTERM or until COUNT are sent. Its output is the
# number of requests, the number of successful ones, the 99th percentile in ms, and the first failures.
cat >"$work/normal.py" <<'PYTHON'
import signal, socket, ssl, sys, time

stopped = False

def stop(*_):
    global stopped
    stopped = True

signal.signal(signal.SIGTERM, stop)
tls = ssl.create_default_context(cafile=sys.argv[1])
request = b"GET /certsrv/mscep/mscep.dll?operation=GetCACaps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
count = int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize
times, failures = [], []
while not stopped and len(times) < count:
    start = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", 9443), timeout=10) as tcp:
            with tls.wrap_socket(tcp, server_hostname="localhost") as connection:
                connection.sendall(request)
                response = b""
                while piece := connection.recv(4096):
                    response += piece
        if not response.startswith(b"HTTP/1.1 200 ") or b"POSTPKIOperation" not in response:
            failures.append(repr(response[:60]))
    except OSError as error:
        failures.append(repr(error))
    times.append(time.monotonic() - start)
    time.sleep(0.01)
times.sort()
print(len(times), len(times) - len(failures), round(times[len(times) * 99 // 100] * 1000, 1))
print("\n".join(failures[:5]))
PYTHON

# stop_normal WHAT: stops the normal client, and checks that all its requests during WHAT were served.
stop_normal() {
    kill "${pid[normal]}"
    wait "${pid[normal]}" || fail "the normal client"
    unset 'pid[normal]'
    read -r sent served p99 <"$work/normal.log"
    [ "$sent" -gt 100 ] || fail "$1: the normal client sent only $sent requests"
    [ "$served" = "$sent" ] || fail "$1: $served of $sent normal requests were served"
}

# The latency without slow clients, for comparison; it is printed but not checked.
/usr/bin/python3 "$work/normal.py" "$demo_ca" 300 >"$work/quiet.log"
read -r sent served quiet <"$work/quiet.log"
[ "$served" = "$sent" ] || fail "without slow clients, $served of $sent requests were served"

# --- The slow clients ------------------------------------------------------------------------------

connections_open() {
    curl -fsS http://127.0.0.1:9465/metrics | awk '/^ndes_proxy_connections_open[ {]/ { n += $NF } END { print n + 0 }'
}
# These counts include the connection of the normal client.
all_connected() {
    [ "$(connections_open)" -ge $((clients * 95 / 100)) ]
}
all_closed() {
    [ "$(connections_open)" -le 5 ]
}
none_left() {
    [ "$(connections_open)" = 0 ]
}

# slow WHAT ARG...: runs slowhttptest with these arguments. It would hold its connections for a minute.
slow() {
    local what=$1 started elapsed
    shift
    start normal /usr/bin/python3 "$work/normal.py" "$demo_ca"
    start slowhttptest slowhttptest -c "$clients" -r 500 -l 60 -p 5 "$@"
    wait_for 20 "$clients connections with $what" all_connected
    started=$SECONDS
    wait_for $((timeout + linger + 4)) "the close of the connections with $what" all_closed
    elapsed=$((SECONDS - started))
    kill "${pid[slowhttptest]}" 2>/dev/null || true
    wait "${pid[slowhttptest]}" 2>/dev/null || true
    unset 'pid[slowhttptest]'
    stop_normal "$what"
    pass "$clients clients with $what: all $served normal requests served, p99 $p99 ms (without slow clients: $quiet ms); slow connections closed after $elapsed s"
}

slow "slow heads" -H -i 1 -x 24 -u "$url?operation=GetCACaps"
slow "slow bodies" -B -i 1 -x 24 -s 60000 -t POST -f application/x-pki-message -u "$url?operation=PKIOperation"
slow "slow reading" -X -w 1 -y 1 -n 5 -z 1 -k 3 -u "$url?operation=GetCACert"

wait_for 5 "the close of the last connection" none_left
[ "$(curl -fsS http://127.0.0.1:9465/metrics | awk '/^ndes_proxy_panics_total/ { print $NF }')" = 0 ] || fail "panics"
pass "all connections are closed, and no task has panicked"
