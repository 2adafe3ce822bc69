#!/usr/bin/env bash
# Builds the container image and runs it as strictly as compose.yaml does: read-only, without
# capabilities, not root. NDES_PROXY_STATIC=FILE takes that binary instead of building one.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The builder stage of the Dockerfile by hand, since its base image may not be had here.
if [ "${NDES_PROXY_ISOLATED:-}" != yes ]; then
    if [ -z "${NDES_PROXY_STATIC:-}" ]; then
        target=$(rustc --print host-tuple)
        (cd "$root" && RUSTFLAGS="-C target-feature=+crt-static" \
            cargo build --release --locked --bin ndes-proxy --target "$target")
        NDES_PROXY_STATIC=$target_dir/$target/release/ndes-proxy
    fi
    ndes_proxy=$NDES_PROXY_STATIC
fi
isolate "$@"

# --- docker/compose.yaml: what must hold without docker at hand --------------------------------------

/usr/bin/python3 - "$root/docker/compose.yaml" <<'PYTHON' || fail "docker/compose.yaml"
import sys, yaml
proxy = yaml.safe_load(open(sys.argv[1]))["services"]["ndes-proxy"]
assert proxy["ports"] == ["443:8443"], "only HTTPS may be published"
assert proxy["read_only"] is True and proxy["cap_drop"] == ["ALL"], "must be locked down"
assert proxy["security_opt"] == ["no-new-privileges:true"], "must be locked down"
PYTHON
pass "docker/compose.yaml publishes HTTPS only"

# --- The image -----------------------------------------------------------------------------------

# Storage of its own, so that nothing is left behind; settings that need no systemd.
cat >"$work/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
CONF
cat >"$work/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
CONF
export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf

mkdir "$work/builder"
cp "$ndes_proxy" "$work/builder/ndes-proxy"
buildah bud --isolation chroot --pull-never --format docker --build-context "builder=$work/builder" \
    -f "$root/docker/Dockerfile" -t ndes-proxy "$root" >"$work/build.log" 2>&1 || fail "building the image"
size=$(podman image inspect --format '{{.Size}}' ndes-proxy)
pass "image built: $((size / 1000 / 1000)) MB"

# --- Certificates, and an origin in the place of NDES ----------------------------------------------

certs=$work/certs
mkdir "$certs"
# leaf NAME FILE: a key and a certificate for NAME, signed by the throw-away root.
leaf() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=$1" \
        -addext "subjectAltName=DNS:$1" -addext basicConstraints=critical,CA:FALSE \
        -CA "$certs/corp-root.pem" -CAkey "$work/root.key" \
        -keyout "$2.key" -out "$2.pem" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj "/CN=Root" \
    -keyout "$work/root.key" -out "$certs/corp-root.pem" 2>/dev/null
leaf scep.example.com "$certs/scep"
leaf ndes.corp.local "$work/origin"
chown 10001 "$certs/scep.key"
chmod 400 "$certs/scep.key"

cat >"$work/origin.py" <<'PYTHON'
import http.server, ssl, sys

class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"POSTPKIOperation\nSHA-256\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 443), Origin)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PYTHON
start origin /usr/bin/python3 "$work/origin.py" "$work/origin.pem" "$work/origin.key"
wait_for 10 "the origin" curl -fsS --cacert "$certs/corp-root.pem" \
    --resolve ndes.corp.local:443:127.0.0.1 https://ndes.corp.local/

# --- The container ---------------------------------------------------------------------------------

# The configuration is the image's own; only the certificates are mounted.
podman run --detach --name proxy --network host --add-host ndes.corp.local:127.0.0.1 \
    --read-only --read-only-tmpfs=false --cap-drop=ALL --security-opt no-new-privileges \
    --volume "$certs:/etc/ndes-proxy/certs:ro" ndes-proxy >"$work/podman.log" 2>&1 || fail "podman run"

logs() {
    podman logs proxy >"$work/proxy.log" 2>&1 || true
}
ready() {
    logs
    curl -fsS http://127.0.0.1:9464/readyz
}
wait_for 20 "/readyz of the container" ready

main=$(podman inspect --format '{{.State.Pid}}' proxy)
for line in 'Uid:	10001	10001	10001	10001' 'CapEff:	0000000000000000' 'NoNewPrivs:	1'; do
    grep -qx "$line" "/proc/$main/status" || fail "the process does not have $line"
done
pass "runs as user 10001, without capabilities, root file system read-only"

answer=$(curl -sS --cacert "$certs/corp-root.pem" --resolve scep.example.com:8443:127.0.0.1 -w '%{http_code}' \
    "https://scep.example.com:8443/certsrv/mscep/mscep.dll?operation=GetCACaps") || true
logs
[ "$answer" = $'POSTPKIOperation\nSHA-256\n200' ] || fail "GetCACaps through the container: $answer"
pass "a request passes through the container to the upstream"

podman healthcheck run proxy >"$work/health.log" 2>&1 || fail "podman healthcheck run"
pass "podman healthcheck run"

started=$SECONDS
podman stop --time 20 proxy >"$work/stop.log" 2>&1 || fail "podman stop"
logs
code=$(podman inspect --format '{{.State.ExitCode}}' proxy)
[ "$code" = 0 ] || fail "exit code after podman stop: $code"
[ $((SECONDS - started)) -lt 15 ] || fail "podman stop took $((SECONDS - started)) s"
pass "podman stop: exit code 0 after $((SECONDS - started)) s"
podman rm proxy >>"$work/stop.log" 2>&1
