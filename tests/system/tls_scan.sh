#!/usr/bin/env bash
# sslyze scans the public port as a security audit does, with an RSA and an ECDSA certificate.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=6.3.1
venv=$target_dir/sslyze-$version
install_venv "$venv" "" "sslyze==$version"
isolate "$@"

# --- A proxy with both types of certificates ---------------------------------------------------------

# leaf NAME KEY_OPTION...: creates a certificate with that type of key, signed by the temporary root.
leaf() {
    local name=$1
    shift
    openssl req -x509 "$@" -noenc -days 90 -subj "/CN=scep.example.com" \
        -addext "subjectAltName=DNS:scep.example.com" -addext basicConstraints=critical,CA:FALSE \
        -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
        -CA "$work/root.pem" -CAkey "$work/root.key" \
        -keyout "$work/$name.key" -out "$work/$name.pem" 2>/dev/null
}
ecdsa=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)
openssl req -x509 "${ecdsa[@]}" -noenc -days 90 -subj "/CN=Root" \
    -keyout "$work/root.key" -out "$work/root.pem" 2>/dev/null
leaf rsa -newkey rsa:2048
leaf ecdsa "${ecdsa[@]}"

# No request reaches the upstream.
cat >"$work/ndes-proxy.toml" <<CONF
[listen]
https = ["127.0.0.1:8443"]
[[application]]
public_names = ["scep.example.com"]
certificate = [{ chain = "rsa.pem", key = "rsa.key" }, { chain = "ecdsa.pem", key = "ecdsa.key" }]
[[application.upstream]]
url = "https://ndes.corp.local"
address = "127.0.0.1:9"
ca_roots = ["root.pem"]
CONF
start proxy "$ndes_proxy" run --config "$work/ndes-proxy.toml"
wait_for 10 "/readyz" curl -fsS http://127.0.0.1:9464/livez

# --- The scan --------------------------------------------------------------------------------------

"$venv/bin/sslyze" --quiet --json_out "$work/scan.json" --sni scep.example.com --mozilla_config disable \
    --sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --compression --reneg --heartbleed --openssl_ccs \
    --robot --early_data --ems --fallback --elliptic_curves 127.0.0.1:8443 >"$work/sslyze.log" 2>&1 ||
    fail "sslyze"

/usr/bin/python3 - "$work/scan.json" <<'PYTHON' || fail "findings of sslyze"
import json, sys

[server] = json.load(open(sys.argv[1]))["server_scan_results"]
scan = server["scan_result"]
failed = False

def result(name):
    assert scan[name]["status"] == "COMPLETED", f"{name}: {scan[name]}"
    return scan[name]["result"]

def check(what, holds):
    global failed
    failed |= not holds
    print("ok:" if holds else "FAILED:", what)

for name, version in [("ssl_2_0", "SSL 2.0"), ("ssl_3_0", "SSL 3.0"), ("tls_1_0", "TLS 1.0"), ("tls_1_1", "TLS 1.1")]:
    check(f"no {version}", not result(f"{name}_cipher_suites")["is_tls_version_supported"])
for name, version in [("tls_1_2", "TLS 1.2"), ("tls_1_3", "TLS 1.3")]:
    accepted = result(f"{name}_cipher_suites")["accepted_cipher_suites"]
    suites = [suite["cipher_suite"]["name"] for suite in accepted]
    check(f"{version} with {', '.join(suites)}", bool(suites))
    check(f"{version}: AEAD only", all("_GCM_" in suite or "_POLY1305_" in suite for suite in suites))
    check(f"{version}: forward secrecy only", all(suite["ephemeral_key"] for suite in accepted))
    if name == "tls_1_2":
        check("TLS 1.2: both certificates", all(any(f"_{kind}_" in s for s in suites) for kind in ["RSA", "ECDSA"]))
curves = {curve["name"] for curve in result("elliptic_curves")["supported_curves"]}
check(f"curves {', '.join(sorted(curves))}", curves == {"X25519", "secp256r1", "secp384r1"})

check("no compression", not result("tls_compression")["supports_compression"])
renegotiation = result("session_renegotiation")
check("renegotiation is never insecure", renegotiation["supports_secure_renegotiation"])
check("no renegotiation by the client", renegotiation["client_renegotiations_success_count"] == 0
      and not renegotiation["is_vulnerable_to_client_renegotiation_dos"])
check("no Heartbleed", not result("heartbleed")["is_vulnerable_to_heartbleed"])
check("no CCS injection", not result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"])
robot = result("robot")["robot_result"]
check(f"no ROBOT ({robot})", robot.startswith("NOT_VULNERABLE"))
check("no early data (0-RTT)", not result("tls_1_3_early_data")["supports_early_data"])
check("downgrades are detected (TLS_FALLBACK_SCSV)", result("tls_fallback_scsv")["supports_fallback_scsv"])
check("extended master secret", result("tls_extended_master_secret")["supports_ems_extension"])
sys.exit(failed)
PYTHON

# --- Session tickets -------------------------------------------------------------------------------

# client ARG...: performs a handshake with openssl and sends a request, because TLS 1.3's ticket arrives with the
# response.
client() {
    printf 'GET / HTTP/1.1\r\nHost: scep.example.com\r\nConnection: close\r\n\r\n' |
        openssl s_client -connect 127.0.0.1:8443 -servername scep.example.com -CAfile "$work/root.pem" \
            -verify_return_error -ign_eof "$@" >"$work/s_client.log" 2>&1
}
for protocol in tls1_2 tls1_3; do
    client "-$protocol" -sess_out "$work/session" || fail "$protocol"
    client "-$protocol" -sess_in "$work/session" || fail "$protocol with a ticket"
    grep -q "^Reused, " "$work/s_client.log" || fail "$protocol: the ticket does not resume"
    pass "$protocol: a session ticket resumes"
done

# --- Post-quantum key exchange ---------------------------------------------------------------------

# Debian 12's OpenSSL does not support it, so the test sends its own ClientHello. It offers only X25519MLKEM768, without
# a key share, and the server must respond with a HelloRetryRequest for that group (RFC 8446 section 4.1.4).
/usr/bin/python3 - <<'PYTHON' || fail "X25519MLKEM768"
import socket, sys

X25519MLKEM768 = 0x11EC

def number(value, size=2):
    return value.to_bytes(size, "big")

def counted(data, size=2):
    return number(len(data), size) + data

def extension(kind, data):
    return number(kind) + counted(data)

extensions = b"".join([
    extension(0, counted(b"\0" + counted(b"scep.example.com"))),
    extension(43, counted(number(0x0304), 1)),
    extension(10, counted(number(X25519MLKEM768))),
    extension(13, counted(number(0x0403) + number(0x0804))),
    extension(51, counted(b"")),
])
hello = number(0x0303) + bytes(range(32)) + b"\0" + counted(number(0x1301)) + b"\1\0" + counted(extensions)
with socket.create_connection(("127.0.0.1", 8443), timeout=10) as tcp:
    tcp.sendall(b"\x16\x03\x01" + counted(b"\1" + counted(hello, 3)))
    response = tcp.recv(4096)
retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
requested_group = extension(51, number(X25519MLKEM768))
sys.exit(0 if response[:1] == b"\x16" and retry in response and requested_group in response else repr(response))
PYTHON
pass "post-quantum key exchange (X25519MLKEM768)"
