#!/usr/bin/env bash
# 1000 slow clients at a time (slow heads, slow bodies, slow readers) hold connections over TLS while
# an honest client asks: every honest request is served, and the slow ones are out in time.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"
ulimit -n "$(ulimit -Hn)"

clients=1000
# Each timeout of the proxy, seconds: long enough for all of them to be there at once on a busy machine.
# The client may linger a while behind a last answer.
timeout=10
linger=10

# The demo's simulated NDES and certificates, with a second proxy before them whose timeouts are
# short, and whose limits per client are no help: this is about time alone.
# shellcheck disable=SC2119  # nothing to tell it
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

# --- The honest client -----------------------------------------------------------------------------

# A new connection for each request, one request after the other, COUNT of them or until SIGTERM; what
# it saw is in honest.log.
cat >"$work/honest.py" <<'PYTHON'
import signal, socket, ssl, sys, time

ended = False

def end(*_):
    global ended
    ended = True

signal.signal(signal.SIGTERM, end)
tls = ssl.create_default_context(cafile=sys.argv[1])
request = b"GET /certsrv/mscep/mscep.dll?operation=GetCACaps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
count = int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize
times, failures = [], []
while not ended and len(times) < count:
    start = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", 9443), timeout=10) as tcp:
            with tls.wrap_socket(tcp, server_hostname="localhost") as connection:
                connection.sendall(request)
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
        if not answer.startswith(b"HTTP/1.1 200 ") or b"POSTPKIOperation" not in answer:
            failures.append(repr(answer[:60]))
    except OSError as error:
        failures.append(repr(error))
    times.append(time.monotonic() - start)
    time.sleep(0.01)
times.sort()
print(len(times), len(times) - len(failures), round(times[len(times) * 99 // 100] * 1000, 1))
print("\n".join(failures[:5]))
PYTHON

# honest_ended WHAT: what the honest client has seen while WHAT went on.
honest_ended() {
    kill "${pid[honest]}"
    wait "${pid[honest]}" || fail "the honest client"
    unset 'pid[honest]'
    read -r asked served p99 <"$work/honest.log"
    [ "$asked" -gt 100 ] || fail "$1: the honest client asked $asked times only"
    [ "$served" = "$asked" ] || fail "$1: of $asked honest requests $served were served"
}

# Without slow clients, to compare: a time is told, and no reason to fail.
/usr/bin/python3 "$work/honest.py" "$demo_ca" 300 >"$work/quiet.log"
read -r asked served quiet <"$work/quiet.log"
[ "$served" = "$asked" ] || fail "of $asked requests without slow clients $served were served"

# --- The slow ones ---------------------------------------------------------------------------------

connections_open() {
    curl -fsS http://127.0.0.1:9465/metrics | awk '/^ndes_proxy_connections_open[ {]/ { n += $NF } END { print n + 0 }'
}
# The honest client's own connections are among them.
all_there() {
    [ "$(connections_open)" -ge $((clients * 95 / 100)) ]
}
all_gone() {
    [ "$(connections_open)" -le 5 ]
}
none_left() {
    [ "$(connections_open)" = 0 ]
}

# slow WHAT ARG...: slowhttptest with those arguments, which would hold out for a minute.
slow() {
    local what=$1 started
    shift
    start honest /usr/bin/python3 "$work/honest.py" "$demo_ca"
    start slowhttptest slowhttptest -c "$clients" -r 500 -l 60 -p 5 "$@"
    wait_for 20 "$clients connections with $what" all_there
    started=$SECONDS
    wait_for $((timeout + linger + 4)) "the end of those with $what" all_gone
    started=$((SECONDS - started))
    kill "${pid[slowhttptest]}" 2>/dev/null || true
    wait "${pid[slowhttptest]}" 2>/dev/null || true
    unset 'pid[slowhttptest]'
    honest_ended "$what"
    pass "$clients clients with $what: all $served honest requests served, p99 $p99 ms (quiet: $quiet ms); the slow ones were out after $started s"
}

slow "slow heads" -H -i 1 -x 24 -u "$url?operation=GetCACaps"
slow "slow bodies" -B -i 1 -x 24 -s 60000 -t POST -f application/x-pki-message -u "$url?operation=PKIOperation"
slow "slow reading" -X -w 1 -y 1 -n 5 -z 1 -k 3 -u "$url?operation=GetCACert"

wait_for 5 "the last connection's end" none_left
[ "$(curl -fsS http://127.0.0.1:9465/metrics | awk '/^ndes_proxy_panics_total/ { print $NF }')" = 0 ] || fail "panics"
pass "no connection is left, and none has panicked"
