#!/usr/bin/env bash
# A real SCEP client, micromdm scepclient, verifies and parses the responses of the simulated NDES to PKIOperation:
# each failInfo of a FAILURE, and PENDING. (strongSwan 5.9.8 can do so too, but finds no cipher in the capabilities of
# an NDES: strongswan/strongswan#1607.)
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

replace_file /etc/hosts <<<"127.0.0.1 localhost scep.example.test"

# client_prints RESULT TEXT: if every enrolment has RESULT, a new client prints TEXT.
client_prints() {
    start_demo --enrolment "$1"
    mkdir "$work/$1"
    # It does not exit while the response is PENDING.
    (cd "$work/$1" && SSL_CERT_FILE=$demo_ca exec scepclient -server-url "$demo_public" \
        -cn scepclient.example.test -private-key key.pem -certificate cert.pem) >"$work/scepclient.log" 2>&1 &
    pid[scepclient]=$!
    wait_for 10 "scepclient to print $2" grep -qF "$2" "$work/scepclient.log"
    stop scepclient
    stop demo
    pass "micromdm scepclient: $2"
}

client_prints badAlg "failInfo: badAlg (0)"
client_prints badMessageCheck "failInfo: badMessageCheck (1)"
client_prints badRequest "failInfo: badRequest (2)"
client_prints badTime "failInfo: badTime (3)"
client_prints badCertId "failInfo: badCertID (4)"
client_prints pending "pkiStatus=PENDING"
