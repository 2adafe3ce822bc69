#!/usr/bin/env bash
# Tests alerts and dashboard: unit tests with promtool, then every expression on a live Prometheus that scrapes two
# proxies under load, one in front of a healthy NDES and one in front of an unhealthy NDES.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

rules=$root/config/prometheus/rules.yml
prometheus=http://127.0.0.1:9090

promtool check rules "$rules" >"$work/promtool.log" 2>&1 || fail "promtool check rules"
promtool test rules "$root/tests/system/prometheus/rules.test.yml" >"$work/promtool.log" 2>&1 ||
    fail "promtool test rules"
pass "promtool test rules: $(grep -c '^  - name:' "$root/tests/system/prometheus/rules.test.yml") scenarios"

expressions() {
    /usr/bin/python3 "$root/tests/system/prometheus/expressions.py" "$@" >"$work/expressions.log" 2>&1
}
expressions form || fail "rules, dashboard and reference do not agree: $(cat "$work/expressions.log")"
pass "rules, dashboard and reference agree: $(cat "$work/expressions.log")"

# --- Two proxies and their clients -------------------------------------------------------------------

start_demo --enrolment success
start unhealthy "$ndes_proxy" demo --ndes hangs-up --https 127.0.0.1:8444 --admin 127.0.0.1:9465
wait_for 10 "the metrics of the second demo" curl -fsS http://127.0.0.1:9465/metrics

# Captured messages: first enrolments and renewals by several clients. One run of curl sends each of them once.
/usr/bin/python3 - "$root/tests/corpus/raw" "$work" <<'PYTHON'
import pathlib, sys
raw, work = map(pathlib.Path, sys.argv[1:])
messages = []
for request in sorted(raw.glob("*-post-pkioperation.req")):
    head, _, body = request.read_bytes().partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        messages.append(work / f"{request.stem}.message")
        messages[-1].write_bytes(body)
assert len(messages) > 30
for name, port in (("healthy", 8443), ("unhealthy", 8444)):
    site = f"https://scep.example.test:{port}/certsrv/mscep/mscep.dll"
    queries = [f'url = "{site}?operation={operation}"\n' for operation in ("GetCACaps", "GetCACert", "Nonsense")]
    enrolments = [f'url = "{site}?operation=PKIOperation"\ndata-binary = "@{message}"\n' for message in messages]
    (work / f"{name}.curl").write_text('next\ninsecure\nsilent\noutput = "/dev/null"\n'.join(["", *queries, *enrolments]))
PYTHON
replace_file /etc/hosts <<<"127.0.0.1 localhost scep.example.test"
clients() {
    while curl --config "$1"; do :; done
}
start healthy_clients clients "$work/healthy.curl"
start unhealthy_clients clients "$work/unhealthy.curl"

# --- Prometheus ------------------------------------------------------------------------------------

# Without the `for` times, up to a quarter of an hour, alerts fire immediately.
sed 's/^\( *for:\) .*/\1 0s/' "$rules" >"$work/rules.yml"
sed -e 's/"ndes-proxy:9464"/"127.0.0.1:9464", "127.0.0.1:9465"/' -e 's/15s/1s/' \
    "$root/docker/prometheus.yml" >"$work/prometheus.yml"
promtool check config "$work/prometheus.yml" >"$work/promtool.log" 2>&1 || fail "promtool check config"
start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address="${prometheus#http://}"
wait_for 120 "data for every expression" expressions live "$prometheus"
pass "every expression is valid and returns data: $(cat "$work/expressions.log")"

# fires NAME: prints the summary of each firing alert with this name; fails if there is none.
fires() {
    curl -fsS "$prometheus/api/v1/alerts" | /usr/bin/python3 -c '
import json, sys
alerts = [alert for alert in json.load(sys.stdin)["data"]["alerts"] if alert["state"] == "firing"]
summaries = [alert["annotations"]["summary"] for alert in alerts if alert["labels"]["alertname"] == sys.argv[1]]
print(*summaries, sep="\n")
sys.exit(not summaries)' "$1"
}
wait_for 60 "NdesUnhealthy" fires NdesUnhealthy
[ "$(fires NdesUnhealthy)" = "NDES of ndes is unhealthy: upstream_closed, as observed by 127.0.0.1:9465" ] ||
    fail "NdesUnhealthy says: $(fires NdesUnhealthy)"
pass "NdesUnhealthy fires only for the unhealthy NDES: $(fires NdesUnhealthy)"
