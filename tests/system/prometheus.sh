#!/usr/bin/env bash
# Debian's Prometheus scrapes a running ndes-proxy; promtool reports no problem in its metrics.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

# series QUERY: prints the number of series that QUERY returns.
series() {
    curl -fsS --get --data-urlencode "query=$1" http://127.0.0.1:9090/api/v1/query |
        python3 -c 'import json, sys; print(len(json.load(sys.stdin)["data"]["result"]))'
}

# has_series QUERY [COUNT]: succeeds if QUERY returns at least COUNT series (default 1).
has_series() {
    [ "$(series "$1")" -ge "${2:-1}" ]
}

# The same layout as in compose.yaml.
mkdir "$work/etc"
cp "$root/docker/prometheus.yml" "$root/config/prometheus/rules.yml" "$work/etc"
promtool check config "$work/etc/prometheus.yml" >"$work/promtool.log" 2>&1 ||
    fail "promtool check config docker/prometheus.yml"
pass "promtool check config docker/prometheus.yml"

# shellcheck disable=SC2119
start_demo

# Creates labelled series (requests, refusals, handshakes), so that they are checked too.
# status URL: prints the status code of the response.
status() {
    curl -sS --cacert "$demo_ca" -o /dev/null -w '%{http_code}' "$1"
}
replace_file /etc/hosts <<<"127.0.0.1 localhost scep.example.test"
[ "$(status "$demo_public?operation=GetCACaps")" = 200 ] || fail "GetCACaps through the demo"
[ "$(status "$demo_public?operation=NDESGenerateChallenge")" = 400 ] || fail "an unpublished operation is not refused"

curl -fsS "$demo_metrics" >"$work/metrics"
promtool check metrics <"$work/metrics" >"$work/promtool.log" 2>&1 || fail "promtool check metrics"
[ ! -s "$work/promtool.log" ] || fail "promtool check metrics prints problems"
pass "promtool check metrics reports no problem in $(grep -vc '^#' "$work/metrics") samples"

address=${demo_metrics#http://}
sed -e "s/ndes-proxy:9464/${address%%/*}/" -e 's/15s/1s/' "$root/docker/prometheus.yml" >"$work/etc/prometheus.yml"
start prometheus prometheus --config.file="$work/etc/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address=127.0.0.1:9090
wait_for 60 "up == 1" has_series 'up{job="ndes-proxy"} == 1'
wait_for 10 "series of ndes-proxy" has_series '{__name__=~"ndes_proxy_.+"}' 5
pass "Prometheus: up == 1, $(series '{__name__=~"ndes_proxy_.+"}') ndes_proxy_ series"
