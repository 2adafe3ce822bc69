#!/usr/bin/env bash
# Real SCEP clients enrol through ndes-proxy with a real SCEP server behind the simulated NDES: micromdm scepclient,
# strongSwan pki and pyscep by POST, certmonger by GET.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/system/scep.sh
. "$(dirname "${BASH_SOURCE[0]}")/scep.sh"
install_pyscep
isolate "$@"

# shellcheck disable=SC2119  # no arguments
start_scepserver
start_demo --scep-server http://127.0.0.1:8080/scep
echo "ndes-proxy: $demo_public"
trust_demo

# --- Checks after each enrolment -------------------------------------------------------------------

# pki_operations METHOD: prints the number of PKIOperations by METHOD with status 200.
pki_operations() {
    curl -fsS "$demo_metrics" | awk -v method="method=\"$1\"" '
        /^ndes_proxy_requests_total\{/ && /operation="PKIOperation"/ && /status="200"/ && index($0, method) { n += $NF }
        END { print n + 0 }'
}

# enrolled CLIENT METHOD: checks that since the last call there was exactly one PKIOperation by METHOD, and none by
# the other method.
posts=0
gets=0
enrolled() {
    if [ "$2" = POST ]; then posts=$((posts + 1)); else gets=$((gets + 1)); fi
    [ "$(pki_operations POST)" = "$posts" ] || fail "$1: PKIOperation by POST: $(pki_operations POST), not $posts"
    [ "$(pki_operations GET)" = "$gets" ] || fail "$1: PKIOperation by GET: $(pki_operations GET), not $gets"
    pass "$1, PKIOperation by $2"
}

# --- The clients -----------------------------------------------------------------------------------

scepclient_in device || fail scepclient
check_issued scepclient.example.test "$work/device/cert.pem"
enrolled "micromdm scepclient" POST

start_certmonger "$issuing_ca"
certmonger_request device || fail certmonger
check_issued certmonger.example.test "$work/device.pem"
enrolled certmonger GET

pki --scepca --url "$demo_public" --caout "$work/strongswan-ca.pem" --outform pem >"$work/scepca.log" 2>&1 ||
    fail "strongSwan pki --scepca"
cmp <(openssl x509 -in "$work/strongswan-ca.pem" -outform DER) <(openssl x509 -in "$issuing_ca" -outform DER) ||
    fail "strongSwan pki --scepca: another certificate"
strongswan_scep strongswan.key || strongswan_cannot_verify
check_issued strongswan.example.test "$(issued strongswan.example.test)"
enrolled "strongSwan pki" POST

pyscep_in device challenge || pyscep_cannot_read
check_issued pyscep.example.test "$(issued pyscep.example.test)"
enrolled pyscep POST
