#!/usr/bin/env bash
# A real SCEP client, micromdm scepclient, verifies and understands what the simulated NDES answers
# to PKIOperation: each failInfo of a FAILURE, and PENDING. (strongSwan 5.9.8 does so too, but finds
# no cipher in the capabilities of an NDES: strongswan/strongswan#1607.)
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

put_over /etc/hosts <<<"127.0.0.1 localhost scep.example.test"

# client_says END TEXT: where every enrolment ends with END, a new client says TEXT.
client_says() {
    start_demo --enrolment "$1"
    mkdir "$work/$1"
    # It does not end by itself while it is told to wait.
    (cd "$work/$1" && SSL_CERT_FILE=$demo_ca exec scepclient -server-url "$demo_public" \
        -cn scepclient.example.test -private-key key.pem -certificate cert.pem) >"$work/scepclient.log" 2>&1 &
    pid[scepclient]=$!
    wait_for 10 "scepclient to say $2" grep -qF "$2" "$work/scepclient.log"
    stop scepclient
    stop demo
    pass "micromdm scepclient: $2"
}

client_says badAlg "failInfo: badAlg (0)"
client_says badMessageCheck "failInfo: badMessageCheck (1)"
client_says badRequest "failInfo: badRequest (2)"
client_says badTime "failInfo: badTime (3)"
client_says badCertId "failInfo: badCertID (4)"
client_says pending "pkiStatus=PENDING"
