#!/usr/bin/env bash
# Tests the status page in headless Chromium: it renders without an error in the console, and shows the state of a
# healthy NDES, an unhealthy one and one that refuses enrolments. Screenshots remain in target/status_page for review.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

screenshots=$target_dir/status_page
mkdir -p "$screenshots"
replace_file /etc/hosts <<<"127.0.0.1 localhost scep.example.test"

# The body of a captured PKIOperation.
python3 - "$root/tests/corpus/raw/019-micromdm-scepclient-ndes-sim-post-pkioperation.req" >"$work/message" <<'PYTHON'
import sys
head, body = open(sys.argv[1], 'rb').read().split(b'\r\n\r\n', 1)
sys.stdout.buffer.write(body)
PYTHON

# status CURL_ARG...: sends a request and prints the status code of the response.
status() {
    curl -sS --cacert "$demo_ca" -o /dev/null -w '%{http_code}' "$@"
}

# enrol COUNT: sends the requests of an enrolment COUNT times.
enrol() {
    for _ in $(seq "$1"); do
        status "$demo_public?operation=GetCACaps" >"$work/curl.log"
        status "$demo_public?operation=GetCACert" >"$work/curl.log"
        status --data-binary "@$work/message" "$demo_public?operation=PKIOperation" >"$work/curl.log"
    done
}

# chromium_on NAME ARG...: opens the page, with enough virtual time to render it twice.
chromium_on() {
    local name=$1
    shift
    HOME=$work timeout 60 chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$work/profile" --hide-scrollbars --run-all-compositor-stages-before-draw \
        --virtual-time-budget=8000 --enable-logging=stderr "$@" "$page" 2>>"$work/chromium-$name.log" ||
        fail "chromium: $name"
}

# load_page NAME: writes the text of the page to $work/NAME.txt, and takes a screenshot.
load_page() {
    page=${demo_metrics%metrics}
    read_page "$1"
    screenshot "$1" 1280,1500
    # Chromium's own pages also write to the console.
    ! grep -F 'CONSOLE' "$work/chromium-$1.log" | grep -vF 'source: chrome://' || fail "$1: errors in the console"
}

read_page() {
    chromium_on "$1" --dump-dom >"$work/$1.html"
    python3 - "$work/$1.html" >"$work/$1.txt" <<'PYTHON'
import html.parser, sys
class Text(html.parser.HTMLParser):
    skipped = 0
    def handle_starttag(self, tag, attributes):
        self.skipped += tag in ('script', 'style', 'noscript')
    def handle_endtag(self, tag):
        self.skipped -= tag in ('script', 'style', 'noscript')
    def handle_data(self, data):
        if not self.skipped:
            print(data.strip(), end=' ')
Text().feed(open(sys.argv[1]).read())
PYTHON
}

# screenshot NAME WIDTH,HEIGHT ARG...: takes a screenshot of the page.
screenshot() {
    chromium_on "$1" --window-size="$2" --screenshot="$screenshots/$1.png" "${@:3}"
    [ -s "$screenshots/$1.png" ] || fail "no screenshot $1"
}

# shows NAME TEXT...: checks that the page contains each TEXT.
shows() {
    local name=$1 text
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$work/$name.txt" || fail "$name: the page does not contain: $text; its text: $(cat "$work/$name.txt")"
    done
    pass "$name: $1"
}

stop_demo() {
    kill "${pid[demo]}"
    wait "${pid[demo]}" || true
    unset "pid[demo]"
}

is_healthy() {
    curl -fsS "${demo_metrics%metrics}upstreams" | grep -q '"healthy": true'
}

is_unhealthy() {
    curl -fsS "${demo_metrics%metrics}upstreams" | grep -q '"healthy": false'
}

start_demo --enrolment success
wait_for 10 "the first health check of NDES" is_healthy
load_page empty
shows empty "NDES is healthy" "No device has asked for a certificate" "https://scep.example.test/certsrv/mscep/mscep.dll" \
    "RA certificate, signing" "TLS certificate of NDES" "None in the last hour"

enrol 17
[ "$(status "${demo_public%/mscep/*}/mscep_admin/")" = 404 ] || fail "mscep_admin is published"
load_page healthy
shows healthy "17 devices enrolled" "17 issued" "100 % of the requests" "This path is not published. 1"
grep -q '<svg[^>]*aria-label="Requests to enrol, minute by minute: 17 issued' "$work/healthy.html" || fail "no chart"
screenshot healthy-dark 1920,1080 --blink-settings=preferredColorScheme=0
screenshot healthy-phone 400,3000
stop_demo

start_demo --enrolment badRequest
wait_for 10 "the first health check of NDES" is_healthy
enrol 4
load_page refused
shows refused "NDES is healthy, but something needs you" "No device enrolled" "4 refused by NDES (challenge expired" \
    "4 of 4 requests to enrol ended without a certificate" "refused_bad_request"
stop_demo

start_demo --ndes pool-stopped
wait_for 10 "the first health check of NDES" is_unhealthy
enrol 2
load_page unhealthy
shows unhealthy "NDES is unhealthy" "the application pool SCEP is stopped" "503 by HTTP.sys" "pool_stopped" "2 failed"

# A proxy that responds to each request once and then no longer: the page marks its content as old.
cat >"$work/once.py" <<'PYTHON'
import http.server, sys, urllib.request
requested = set()
class Once(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path in requested:
            return
        requested.add(self.path)
        with urllib.request.urlopen(sys.argv[1] + self.path.lstrip('/')) as response:
            self.send_response(200)
            for name in ('Content-Type', 'Content-Security-Policy'):
                if response.headers[name]:
                    self.send_header(name, response.headers[name])
            self.end_headers()
            self.wfile.write(response.read())
http.server.ThreadingHTTPServer(('127.0.0.1', 9465), Once).serve_forever()
PYTHON
start once python3 "$work/once.py" "$page"
wait_for 10 "the proxy that responds once" python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9465))'
page=http://127.0.0.1:9465/
read_page gone
shows gone "The proxy does not answer. What you see is from" "NDES is unhealthy"
