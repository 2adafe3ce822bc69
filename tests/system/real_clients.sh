#!/usr/bin/env bash
# Real SCEP clients enrol through ndes-proxy at a real SCEP server behind the simulated NDES:
# micromdm scepclient (POST), certmonger (GET), strongSwan pki (POST).
# shellcheck source=tests/system/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
isolate "$@"

put_over /etc/hosts <<<"127.0.0.1 localhost scep.example.test"

# --- The SCEP server and its CA ------------------------------------------------------------------

# Not made by `scepserver ca -init`: its CA may not sign messages (keyUsage), and certmonger's
# OpenSSL minds. The server reads only keys encrypted the old way.
mkdir "$work/depot"
openssl req -x509 -newkey rsa:2048 -noenc -keyout "$work/issuing.key" -out "$work/depot/ca.pem" \
    -days 2 -subj "/O=Example/CN=Issuing CA" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign 2>/dev/null
openssl rsa -in "$work/issuing.key" -traditional -des3 -passout pass:depot -out "$work/depot/ca.key" 2>/dev/null
issuing_ca=$work/depot/ca.pem

start scepserver scepserver -depot "$work/depot" -capass depot -port 8080 -allowrenew 0 -debug
wait_for 10 scepserver curl -fsS "http://127.0.0.1:8080/scep?operation=GetCACaps"

start_demo --scep-server http://127.0.0.1:8080/scep
echo "ndes-proxy: $demo_public"
# certmonger's PKIOperation and all of strongSwan trust the system's roots, whatever they are told.
put_over /etc/ssl/certs/ca-certificates.crt <"$demo_ca"

# --- What each enrolment must have led to ----------------------------------------------------------

# check_issued NAME FILE: a certificate of our CA for CN=NAME.
check_issued() {
    openssl verify -CAfile "$issuing_ca" "$2" >"$work/verify.log" 2>&1 || fail "$1: certificate does not verify"
    openssl x509 -in "$2" -noout -subject -nameopt RFC2253 | grep -Eq "[=,]CN=$1(,|\$)" ||
        fail "$1: wrong subject: $(openssl x509 -in "$2" -noout -subject)"
}

# pki_operations METHOD: how many the proxy has answered with 200.
pki_operations() {
    curl -fsS "$demo_metrics" | awk -v method="method=\"$1\"" '
        /^ndes_proxy_requests_total\{/ && /operation="PKIOperation"/ && /status="200"/ && index($0, method) { n += $NF }
        END { print n + 0 }'
}

# enrolled CLIENT METHOD: exactly one PKIOperation by METHOD since the last call, none by the other.
posts=0
gets=0
enrolled() {
    if [ "$2" = POST ]; then posts=$((posts + 1)); else gets=$((gets + 1)); fi
    [ "$(pki_operations POST)" = "$posts" ] || fail "$1: PKIOperation by POST: $(pki_operations POST), not $posts"
    [ "$(pki_operations GET)" = "$gets" ] || fail "$1: PKIOperation by GET: $(pki_operations GET), not $gets"
    pass "$1, PKIOperation by $2"
}

# --- micromdm scepclient ---------------------------------------------------------------------------

mkdir "$work/scepclient"
(cd "$work/scepclient" && SSL_CERT_FILE=$demo_ca scepclient -server-url "$demo_public" \
    -cn scepclient.example.test -private-key key.pem -certificate cert.pem) >"$work/scepclient.log" 2>&1 ||
    fail "scepclient"
check_issued scepclient.example.test "$work/scepclient/cert.pem"
enrolled "micromdm scepclient" POST

# --- certmonger ------------------------------------------------------------------------------------

# The server encrypts its answers with single DES, which OpenSSL 3 has only in its legacy provider;
# certmonger's helpers read this file only.
put_over /etc/ssl/openssl.cnf <<'CONF'
openssl_conf = top
[top]
providers = providers
[providers]
default = activated
legacy = activated
[activated]
activate = 1
CONF

cm=$work/certmonger
mkdir -p "$cm"/{config,requests,cas,local,tmp}
cat >"$cm/enrol" <<ENROL
set -euo pipefail
getcert add-scep-ca -c demo -u "$demo_public" -R "$demo_ca" -N "$issuing_ca"
# A request made before the server's certificates are known would be put off for hours.
for _ in {1..300}; do
    cas=\$(getcert list-cas -c demo)
    [[ \$cas == *thumbprint* ]] && break
    sleep 0.1
done
getcert request -c demo -k "$cm/key.pem" -f "$cm/cert.pem" -N CN=certmonger.example.test -I demo -w -v
getcert list -i demo
ENROL
CERTMONGER_CONFIG_DIR=$cm/config CERTMONGER_REQUESTS_DIR=$cm/requests CERTMONGER_CAS_DIR=$cm/cas \
    CERTMONGER_LOCAL_CA_DIR=$cm/local CERTMONGER_TMPDIR=$cm/tmp HOME=$cm \
    timeout 90 /usr/lib/certmonger/certmonger-session -n -L -P "$cm/socket" -c "bash $cm/enrol" \
    >"$work/certmonger.log" 2>&1 || fail certmonger
[ -s "$cm/cert.pem" ] || fail "certmonger has no certificate"
check_issued certmonger.example.test "$cm/cert.pem"
enrolled certmonger GET

# --- strongSwan ------------------------------------------------------------------------------------

openssl genrsa -traditional -out "$work/strongswan.key" 2048 2>/dev/null
pki --scepca --url "$demo_public" --caout "$work/strongswan-ca.pem" --outform pem >"$work/scepca.log" 2>&1 ||
    fail "strongSwan pki --scepca"
cmp <(openssl x509 -in "$work/strongswan-ca.pem" -outform DER) <(openssl x509 -in "$issuing_ca" -outform DER) ||
    fail "strongSwan pki --scepca: another certificate"

# strongSwan 5.9.8 cannot verify micromdm's answer, with or without a proxy: it knows rsaEncryption
# there, and gets sha256WithRSAEncryption. So what counts is that it got as far as this, and that
# the server has issued, which it does only for a message whose signature is right.
strongswan="strongSwan pki"
if pki --scep --url "$demo_public" --in "$work/strongswan.key" --dn "O=Example, CN=strongswan.example.test" \
    --cacert-enc "$issuing_ca" --cacert-sig "$issuing_ca" --cipher des3 --outform pem \
    >"$work/strongswan.pem" 2>"$work/strongswan.log"; then
    check_issued strongswan.example.test "$work/strongswan.pem"
else
    grep -q "only RSA digest encryption supported" "$work/strongswan.log" || fail "strongSwan pki --scep"
    issued=("$work"/depot/strongswan.example.test.*.pem)
    check_issued strongswan.example.test "${issued[0]}"
    strongswan+=" (issued; this version cannot verify the answer)"
fi
enrolled "$strongswan" POST
