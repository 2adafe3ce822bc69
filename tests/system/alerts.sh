#!/usr/bin/env bash
# Alerts and dashboard: unit tests by promtool, then every expression on a live Prometheus that
# scrapes two proxies under load, one before a healthy NDES and one before an ill one.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

rules=$root/config/prometheus/rules.yml
prometheus=http://127.0.0.1:9090

promtool check rules "$rules" >"$work/promtool.log" 2>&1 || fail "promtool check rules"
promtool test rules "$root/tests/system/prometheus/rules.test.yml" >"$work/promtool.log" 2>&1 ||
    fail "promtool test rules"
pass "promtool test rules: $(grep -c '^  - name:' "$root/tests/system/prometheus/rules.test.yml") scenes"

expressions() {
    /usr/bin/python3 "$root/tests/system/prometheus/expressions.py" "$@" >"$work/expressions.log" 2>&1
}
expressions form || fail "rules, dashboard and reference do not agree"
pass "rules, dashboard and reference agree: $(cat "$work/expressions.log")"

# --- Two proxies, and devices ------------------------------------------------------------------------

start_demo --enrolment success
start ill "$ndes_proxy" demo --ndes hangs-up --https 127.0.0.1:8444 --admin 127.0.0.1:9465
wait_for 10 "the metrics of the second demo" curl -fsS http://127.0.0.1:9465/metrics

# Real messages, first enrolments and renewals by several clients. One curl sends all of them once.
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
for name, port in (("well", 8443), ("ill", 8444)):
    site = f"https://scep.example.test:{port}/certsrv/mscep/mscep.dll"
    asked = [f'url = "{site}?operation={operation}"\n' for operation in ("GetCACaps", "GetCACert", "Nonsense")]
    sent = [f'url = "{site}?operation=PKIOperation"\ndata-binary = "@{message}"\n' for message in messages]
    (work / f"{name}.curl").write_text('next\ninsecure\nsilent\noutput = "/dev/null"\n'.join(["", *asked, *sent]))
PYTHON
put_over /etc/hosts <<<"127.0.0.1 localhost scep.example.test"
devices() {
    while curl --config "$1"; do :; done
}
start well_devices devices "$work/well.curl"
start ill_devices devices "$work/ill.curl"

# --- Prometheus ------------------------------------------------------------------------------------

# Alerts fire at once here, as nobody waits a quarter of an hour for a test.
sed 's/^\( *for:\) .*/\1 0s/' "$rules" >"$work/rules.yml"
sed -e 's/"ndes-proxy:9464"/"127.0.0.1:9464", "127.0.0.1:9465"/' -e 's/15s/1s/' \
    "$root/docker/prometheus.yml" >"$work/prometheus.yml"
promtool check config "$work/prometheus.yml" >"$work/promtool.log" 2>&1 || fail "promtool check config"
start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address="${prometheus#http://}"
wait_for 120 "data for every expression" expressions live "$prometheus"
pass "every expression runs, and has data: $(cat "$work/expressions.log")"

# fires NAME: a line for each of those alerts, its summary.
fires() {
    curl -fsS "$prometheus/api/v1/alerts" | /usr/bin/python3 -c '
import json, sys
alerts = [alert for alert in json.load(sys.stdin)["data"]["alerts"] if alert["state"] == "firing"]
summaries = [alert["annotations"]["summary"] for alert in alerts if alert["labels"]["alertname"] == sys.argv[1]]
print(*summaries, sep="\n")
sys.exit(not summaries)' "$1"
}
wait_for 60 "NdesUnhealthy" fires NdesUnhealthy
[ "$(fires NdesUnhealthy)" = "NDES of ndes is ill: upstream_closed, as 127.0.0.1:9465 sees it" ] ||
    fail "NdesUnhealthy says: $(fires NdesUnhealthy)"
pass "NdesUnhealthy fires for the ill one alone: $(fires NdesUnhealthy)"
