#!/usr/bin/env bash
# Tests audit log and metrics when real SCEP clients enrol with a real SCEP server that requires a challenge: refused,
# successful and renewed enrolments. Then tests clients that have to poll with the simulated NDES, because that server
# never responds with PENDING.
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/system/scep.sh
. "$(dirname "${BASH_SOURCE[0]}")/scep.sh"
install_pyscep
isolate "$@"

# --- Checks of audit log and metrics ---------------------------------------------------------------

# check_audit WHAT NAME=VALUE...: checks that the next audit line has these fields, and no other field that reports a
# problem. If it is the last line, also checks that the counters are the sum of all lines so far.
check_audit() {
    local what=$1 pair name line
    local -A field=()
    shift
    audited=$((audited + 1))
    wait_for 10 "audit line $audited ($what)" audit_line "$audited"
    line=$(audit_line "$audited")
    # A value of one word is not quoted, other strings are.
    while IFS='=' read -r name value; do
        value=${value#\"}
        field[$name]=${value%\"}
    done < <(grep -oE '[a-z0-9_]+=("([^"\\]|\\.)*"|[^" ]+)' <<<"$line")
    [[ " $*" == *" status="* ]] || set -- status=200 "$@"
    for pair in application=ndes client=127.0.0.1 "$@"; do
        name=${pair%%=*}
        [ "${field[$name]-}" = "${pair#*=}" ] || fail "$what: $name is ${field[$name]-absent} instead of ${pair#*=}: $line"
    done
    for name in fail_info fail_info_text unreadable answer_unreadable reason anomaly client_gone; do
        [ -z "${field[$name]-}" ] || [[ " $* " == *" $name="* ]] || fail "$what: $name: $line"
    done
    [ -z "${field[anomaly]-}" ] || [ -n "${field[advice]-}" ] || fail "$what: no advice: $line"

    expect "messages_total{application=\"ndes\",enrolment=\"${field[enrolment]}\",message_type=\"${field[message_type]}\"}"
    expect "answers_total{application=\"ndes\",enrolment=\"${field[enrolment]}\",fail_info=\"${field[fail_info]-none}\",pki_status=\"${field[pki_status]-none}\"}"
    for name in digest signature cipher; do
        expect "algorithms_total{algorithm=\"${field[$name]}\",application=\"ndes\",purpose=\"$name\"}"
    done
    [ -z "${field[anomaly]-}" ] || expect "anomalies_total{application=\"ndes\",reason=\"${field[anomaly]}\"}"
    audit_line $((audited + 1)) >"$work/next" || diff <(all_expected) <(counters) ||
        fail "$what: the counters (>) are not the sum of the audit lines (<)"
    pass "$what: ${field[message_type]} (${field[enrolment]}), ${field[digest]}, ${field[cipher]}: ${field[pki_status]-${field[status]}} ${field[anomaly]-}"
}

# audit_line NUMBER: prints an audit line of this demo, counted from 1; fails if it does not exist yet.
audit_line() {
    grep -E '^[^ ]+ +INFO scep: ' "$work/demo.log" | sed -n "$1p" | grep .
}

# expect SERIES: increments the expected value of a counter.
declare -A expected=()
expect() {
    expected[$1]=$((${expected[$1]:-0} + 1))
}

all_expected() {
    local series
    for series in "${!expected[@]}"; do
        echo "$series ${expected[$series]}"
    done | sort
}

# counters: prints the proxy's counters that are not 0.
counters() {
    curl -fsS "$demo_metrics" | sed -nE 's/^ndes_proxy_(scep_)?((messages|answers|algorithms|anomalies)_total.* [1-9][0-9]*)$/\2/p' | sort
}

# fresh_demo ARG...: starts a demo without audit lines and expected counters.
fresh_demo() {
    start_demo "$@"
    audited=0
    expected=()
}

# recipient FILE: prints serial number and issuer of a certificate, as in the audit line.
recipient() {
    openssl x509 -in "$1" -noout -serial -issuer -nameopt RFC2253 |
        sed -E 'N; s/serial=0*(.*)\nissuer=(.*)/\L\1\E \2/'
}

# --- A server that requires a challenge ------------------------------------------------------------

start_scepserver -challenge right
fresh_demo --scep-server http://127.0.0.1:8080/scep
trust_demo
to_ca=recipients=$(recipient "$issuing_ca")
refused=(enrolment=initial message_type=PKCSReq pki_status=FAILURE fail_info=badRequest anomaly=refused_bad_request)
first=(enrolment=initial message_type=PKCSReq pki_status=SUCCESS)
renewed=(enrolment=renewal pki_status=SUCCESS "signer_issuer=CN=Issuing CA,O=Example")

# scepclient always signs its first message with this name, and supports only SHA-1 and single DES.
scepclient=(digest=sha1 signature=sha1_rsa cipher=des-cbc "$to_ca")
! scepclient_in scepclient-refused -challenge wrong || fail "scepclient with a wrong challenge"
check_audit "micromdm scepclient, wrong challenge" "${refused[@]}" "${scepclient[@]}" "signer=CN=SCEP SIGNER,O=scep-client"
scepclient_in scepclient -challenge right || fail scepclient
check_audit "micromdm scepclient" "${first[@]}" "${scepclient[@]}" "signer=CN=SCEP SIGNER,O=scep-client"
old=$(issued scepclient.example.test)
scepclient_in scepclient -challenge right || fail "scepclient, renewal"
check_audit "micromdm scepclient, renewal" "${renewed[@]}" "${scepclient[@]}" message_type=RenewalReq \
    "signer_serial=$(recipient "$old" | cut -d " " -f 1)" "signer=CN=scepclient.example.test,OU=MDM,O=scep-client,C=US"

# certmonger always sends PKCSReq, also for a renewal.
certmonger=(message_type=PKCSReq digest=sha256 signature=rsassa_pkcs1v15 cipher=aes256-cbc "$to_ca" signer=CN=certmonger.example.test)
start_certmonger "$issuing_ca"
certmonger_request certmonger-refused -L wrong || true
certmonger_is CA_REJECTED certmonger-refused || fail "certmonger with a wrong challenge"
check_audit "certmonger, wrong challenge" "${refused[@]}" "${certmonger[@]}"
certmonger_request certmonger -L right || fail certmonger
check_audit certmonger "${first[@]}" "${certmonger[@]}"
getcert resubmit -i certmonger -w >"$work/getcert.log" 2>&1 || fail "certmonger, renewal"
check_audit "certmonger, renewal" "${renewed[@]}" "${certmonger[@]}"
getcert rekey -i certmonger -w >"$work/getcert.log" 2>&1 || fail "certmonger, renewal with a new key"
check_audit "certmonger, renewal with a new key" "${renewed[@]}" "${certmonger[@]}"
stop certmonger

strongswan=(digest=sha256 signature=sha256_rsa cipher=des3-cbc "$to_ca" "signer=CN=strongswan.example.test,O=Example")
strongswan_scep strongswan.key --password wrong || strongswan_cannot_verify
check_audit "strongSwan pki, wrong challenge" "${refused[@]}" "${strongswan[@]}"
strongswan_scep strongswan.key --password right || strongswan_cannot_verify
check_audit "strongSwan pki" "${first[@]}" "${strongswan[@]}"
strongswan_scep strongswan-new.key --password right --cert "$(issued strongswan.example.test)" --key "$work/strongswan.key" || strongswan_cannot_verify
check_audit "strongSwan pki, renewal" "${renewed[@]}" "${strongswan[@]}" message_type=RenewalReq
strongswan_scep strongswan-other.key --password right --digest sha1 || strongswan_cannot_verify
check_audit "strongSwan pki --digest sha1" "${first[@]}" digest=sha1 signature=sha1_rsa
# The server does not know RSASSA-PSS.
failed=(enrolment=initial message_type=PKCSReq status=500)
! strongswan_scep strongswan-pss.key --password right --rsa-padding pss || fail "strongSwan pki with PSS"
check_audit "strongSwan pki --rsa-padding pss" "${failed[@]}" "$to_ca" signature=rsassa_pss anomaly=pki_operation_failed
# A device that still uses an old RA certificate.
openssl req -x509 -newkey rsa:2048 -noenc -keyout "$work/old-ra.key" -out "$work/old-ra.pem" -days 2 -subj "/CN=Old RA" 2>/dev/null
! strongswan_scep strongswan-old.key --password right --cacert-enc "$work/old-ra.pem" || fail "strongSwan pki for the old RA"
expect 'anomalies_total{application="ndes",reason="pki_operation_failed"}'
check_audit "strongSwan pki, for the old RA" "${failed[@]}" "recipients=$(recipient "$work/old-ra.pem")" anomaly=stale_ra_certificate

pyscep=(message_type=PKCSReq digest=sha256 signature=rsassa_pkcs1v15 cipher=aes256-cbc "$to_ca")
! pyscep_in pyscep wrong || fail "pyscep with a wrong challenge"
grep -q "^FAILURE 2" "$work/pyscep.log" || fail "pyscep with a wrong challenge"
check_audit "pyscep, wrong challenge" "${refused[@]}" "${pyscep[@]}" "signer=CN=pyscep device"
pyscep_in pyscep right || pyscep_cannot_read
check_audit pyscep "${first[@]}" "${pyscep[@]}" "signer=CN=pyscep device"
pyscep_in pyscep right "$(issued pyscep.example.test)" || pyscep_cannot_read
check_audit "pyscep, renewal" "${renewed[@]}" "${pyscep[@]}" signer=CN=pyscep.example.test

# No client had to poll.
enrolment_seconds() {
    curl -fsS "$demo_metrics" | sed -n 's/^ndes_proxy_scep_enrolment_seconds_count{application="ndes"} //p'
}
[ "$(enrolment_seconds)" = 0 ] || fail "polled enrolments: $(enrolment_seconds)"

# --- An NDES that responds with PENDING ------------------------------------------------------------

# Not with strongSwan 5.9.8, which finds no cipher in the capabilities of an NDES (strongswan/strongswan#1607). The final
# certificate is not an issued one (see src/commands/demo/cert_rep.rs), so both clients reject it.
stop demo
stop scepserver
fresh_demo --enrolment pending:2
trust_demo
curl -fsS "$demo_public?operation=GetCACert" | openssl pkcs7 -inform DER -print_certs -out "$work/ra-all.pem"
# certificate_of NAME: prints one of the certificates of GetCACert.
certificate_of() {
    sed -n "/^subject=CN = $1\$/,/^-----END/p" "$work/ra-all.pem" | openssl x509
}
certificate_of "ndes-proxy demo issuing CA" >"$work/ra-ca.pem"
certificate_of "NDES-MSCEP-RA encryption" >"$work/ra-encryption.pem"
to_ra=recipients=$(recipient "$work/ra-encryption.pem")

polling=(enrolment=initial "$to_ra" cipher=des3-cbc)
! pyscep_in pyscep-pending right || fail "pyscep accepts a certificate that is not issued"
[ "$(grep -c "^PENDING" "$work/pyscep.log")" = 2 ] || fail "pyscep did not receive PENDING twice"
check_audit "pyscep, pending" "${polling[@]}" digest=sha512 message_type=PKCSReq pki_status=PENDING
check_audit "pyscep, still pending" "${polling[@]}" digest=sha512 message_type=CertPoll pki_status=PENDING
check_audit "pyscep, issued" "${polling[@]}" digest=sha512 message_type=CertPoll pki_status=SUCCESS
[ "$(enrolment_seconds)" = 1 ] || fail "polled enrolments: $(enrolment_seconds) instead of 1"

rm -rf "$work/certmonger"
start_certmonger "$work/ra-ca.pem" "$work/ra-encryption.pem"
certmonger_request certmonger-pending -L right || true
check_audit "certmonger, pending" "${polling[@]}" digest=sha256 message_type=PKCSReq pki_status=PENDING
wait_for 10 "certmonger to be in state CA_WORKING" certmonger_is CA_WORKING certmonger-pending
getcert refresh -i certmonger-pending >"$work/getcert.log" 2>&1 || fail "getcert refresh"
check_audit "certmonger, still pending after a refresh" "${polling[@]}" digest=sha256 message_type=PKCSReq pki_status=PENDING
wait_for 10 "certmonger to be in state CA_WORKING" certmonger_is CA_WORKING certmonger-pending
stop certmonger
# certmonger polls only after hours. Its helper sends the prepared poll now.
sed -n '/^scep_gic=/,/END PKCS7/{s/^scep_gic=//;s/^ //;p}' "$work"/certmonger/requests/* >"$work/poll.pem"
! /usr/lib/certmonger/scep-submit -u "$demo_public" -R "$demo_ca" -N "$work/ra-ca.pem" -r "$work/ra-encryption.pem" \
    -g "$work/poll.pem" >"$work/scep-submit.log" 2>&1 || fail "certmonger accepts a certificate that is not issued"
check_audit "certmonger, issued" "${polling[@]}" digest=sha256 message_type=CertPoll pki_status=SUCCESS
[ "$(enrolment_seconds)" = 2 ] || fail "polled enrolments: $(enrolment_seconds) instead of 2"

# --- An NDES that does not offer POST --------------------------------------------------------------

stop demo
fresh_demo --ndes capabilities-without-post --enrolment badRequest
expect 'anomalies_total{application="ndes",reason="post_not_offered"}'
! scepclient_in scepclient-get -challenge right || fail "scepclient accepts a refusal"
check_audit "micromdm scepclient by GET" "${refused[@]}" digest=sha1 signature=sha1_rsa
curl -fsS "$demo_metrics" | grep '^ndes_proxy_requests_total{.*method="GET",operation="PKIOperation",' >"$work/by-get" ||
    fail "no PKIOperation by GET"
