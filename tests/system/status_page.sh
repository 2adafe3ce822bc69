#!/usr/bin/env bash
# The status page in headless Chromium: it draws itself without an error in the console, and says
# what there is to say of an NDES that is well, one that is ill and one that refuses. Pictures of
# all of them are left in target/status_page to be looked at.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

pictures=$target_dir/status_page
mkdir -p "$pictures"
put_over /etc/hosts <<<"127.0.0.1 localhost scep.example.test"

# The body of a real request to enrol.
python3 - "$root/tests/corpus/raw/019-micromdm-scepclient-ndes-sim-post-pkioperation.req" >"$work/message" <<'PYTHON'
import sys
head, body = open(sys.argv[1], 'rb').read().split(b'\r\n\r\n', 1)
sys.stdout.buffer.write(body)
PYTHON

ask() {
    curl -sS --cacert "$demo_ca" -o /dev/null -w '%{http_code}' "$@"
}

# As devices do it, $1 times.
enrol() {
    for _ in $(seq "$1"); do
        ask "$demo_public?operation=GetCACaps" >"$work/curl.log"
        ask "$demo_public?operation=GetCACert" >"$work/curl.log"
        ask --data-binary "@$work/message" "$demo_public?operation=PKIOperation" >"$work/curl.log"
    done
}

# chromium_on NAME ARG...: opens the page and gives it time, of its own clock, to draw itself twice.
chromium_on() {
    local name=$1
    shift
    HOME=$work timeout 60 chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$work/profile" --hide-scrollbars --run-all-compositor-stages-before-draw \
        --virtual-time-budget=8000 --enable-logging=stderr "$@" "$page" 2>>"$work/chromium-$name.log" ||
        fail "chromium: $name"
}

# look NAME: the page as text in $work/NAME.txt, and its picture.
look() {
    page=${demo_metrics%metrics}
    read_page "$1"
    picture "$1" 1280,1500
    # Chromium's own pages speak there too.
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

picture() {
    chromium_on "$1" --window-size="$2" --screenshot="$pictures/$1.png" "${@:3}"
    [ -s "$pictures/$1.png" ] || fail "no picture $1"
}

# says NAME TEXT...: each of these stands on the page.
says() {
    local name=$1 text
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$work/$name.txt" || fail "$name: not on the page: $text; it says: $(cat "$work/$name.txt")"
    done
    pass "$name: $1"
}

stop_demo() {
    kill "${pid[demo]}"
    wait "${pid[demo]}" || true
    unset "pid[demo]"
}

is_well() {
    curl -fsS "${demo_metrics%metrics}upstreams" | grep -q '"healthy": true'
}

is_ill() {
    curl -fsS "${demo_metrics%metrics}upstreams" | grep -q '"healthy": false'
}

start_demo --enrolment success
wait_for 10 "the first look at NDES" is_well
look empty
says empty "NDES is healthy" "No device has asked for a certificate" "https://scep.example.test/certsrv/mscep/mscep.dll" \
    "RA certificate, signing" "TLS certificate of NDES" "None in the last hour"

enrol 17
[ "$(ask "${demo_public%/mscep/*}/mscep_admin/")" = 404 ] || fail "mscep_admin is published"
look well
says well "17 devices enrolled" "17 issued" "100 % of the requests" "This path is not published. 1"
grep -q '<svg[^>]*aria-label="Requests to enrol, minute by minute: 17 issued' "$work/well.html" || fail "no chart"
picture well-dark 1920,1080 --blink-settings=preferredColorScheme=0
picture well-phone 400,3000
stop_demo

start_demo --enrolment badRequest
wait_for 10 "the first look at NDES" is_well
enrol 4
look refused
says refused "NDES is healthy, but something needs you" "No device enrolled" "4 refused by NDES (challenge expired" \
    "4 of 4 requests to enrol ended without a certificate" "refused_bad_request"
stop_demo

start_demo --ndes pool-stopped
wait_for 10 "the first look at NDES" is_ill
enrol 2
look ill
says ill "NDES is unhealthy" "the application pool SCEP is stopped" "503 by HTTP.sys" "pool_stopped" "2 failed"

# A proxy that answers once and then no more: what is on the screen is not taken for new.
cat >"$work/once.py" <<'PYTHON'
import http.server, sys, urllib.request
asked = set()
class Once(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path in asked:
            return
        asked.add(self.path)
        with urllib.request.urlopen(sys.argv[1] + self.path.lstrip('/')) as answer:
            self.send_response(200)
            for name in ('Content-Type', 'Content-Security-Policy'):
                if answer.headers[name]:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.read())
http.server.ThreadingHTTPServer(('127.0.0.1', 9465), Once).serve_forever()
PYTHON
start once python3 "$work/once.py" "$page"
wait_for 10 "the proxy that answers once" python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9465))'
page=http://127.0.0.1:9465/
read_page gone
says gone "The proxy does not answer. What you see is from" "NDES is unhealthy"
