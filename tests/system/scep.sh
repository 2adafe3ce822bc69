# A real SCEP server and real SCEP clients. Tests that enrol source this file after common.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154  # set by common.sh

pyscep_version=0.0.14
pyscep_venv=$target_dir/pyscep-$pyscep_version

# install_pyscep: installs pyscep with its undeclared dependencies. Those that Debian has are taken from Debian, because
# only Debian's oscrypto can parse the version of Debian's OpenSSL. Like install_venv, call it before `isolate`.
install_pyscep() {
    install_venv "$pyscep_venv" --system-site-packages --no-deps \
        "PyScep==$pyscep_version" certbuilder==0.14.2 csrbuilder==0.10.1
}

# start_scepserver ARG...: starts micromdm's server at http://127.0.0.1:8080/scep, with its CA in $issuing_ca and the
# issued certificates in $work/depot.
start_scepserver() {
    # Not created by `scepserver ca -init`, because the keyUsage of that CA does not allow it to sign messages, which
    # certmonger's OpenSSL rejects. The server reads only keys encrypted in the traditional format.
    mkdir "$work/depot"
    issuing_ca=$work/depot/ca.pem
    openssl req -x509 -newkey rsa:2048 -noenc -keyout "$work/issuing.key" -out "$issuing_ca" \
        -days 2 -subj "/O=Example/CN=Issuing CA" -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign 2>/dev/null
    openssl rsa -in "$work/issuing.key" -traditional -des3 -passout pass:depot -out "$work/depot/ca.key" 2>/dev/null
    start scepserver scepserver -depot "$work/depot" -capass depot -port 8080 -allowrenew 0 -debug "$@"
    wait_for 10 scepserver curl -fsS "http://127.0.0.1:8080/scep?operation=GetCACaps"
}

# issued NAME: prints the file of the last certificate that the server has issued for CN=NAME.
issued() {
    local file
    file=$(find "$work/depot" -name "$1.*.pem" | sort -t . -k 1,1 -V | tail -n 1)
    [ -n "$file" ] || fail "no certificate for $1"
    echo "$file"
}

# check_issued NAME FILE: checks that FILE is a certificate of the server's CA for CN=NAME.
check_issued() {
    openssl verify -CAfile "$issuing_ca" "$2" >"$work/verify.log" 2>&1 || fail "$1: certificate does not verify"
    openssl x509 -in "$2" -noout -subject -nameopt RFC2253 | grep -Eq "[=,]CN=$1(,|\$)" ||
        fail "$1: wrong subject: $(openssl x509 -in "$2" -noout -subject)"
}

# trust_demo: makes the CA of `start_demo` a system root. For PKIOperation certmonger, and for all requests strongSwan,
# use only the system roots and ignore their options.
trust_demo() {
    replace_file /etc/hosts <<<"127.0.0.1 localhost scep.example.test"
    replace_file /etc/ssl/certs/ca-certificates.crt <"$demo_ca"
}

# --- micromdm scepclient ---------------------------------------------------------------------------

# scepclient_in DIR ARG...: enrols a client with key.pem and cert.pem in $work/DIR. If they do not exist, it creates
# them; if they do, it renews.
scepclient_in() {
    local dir=$work/$1
    shift
    mkdir -p "$dir"
    (cd "$dir" && SSL_CERT_FILE=$demo_ca exec scepclient -server-url "$demo_public" \
        -cn scepclient.example.test -private-key key.pem -certificate cert.pem "$@") >"$work/scepclient.log" 2>&1
}

# --- certmonger ------------------------------------------------------------------------------------

# start_certmonger CA [RA]: starts a separate daemon, for `getcert` with -c demo.
start_certmonger() {
    local cm=$work/certmonger ra=()
    [ $# = 1 ] || ra=(-r "$2")
    # micromdm's server encrypts its responses with single DES, which OpenSSL 3 has only in its legacy provider.
    # certmonger's helpers read only this file.
    replace_file /etc/ssl/openssl.cnf <<'CONF'
openssl_conf = top
[top]
providers = providers
[providers]
default = activated
legacy = activated
[activated]
activate = 1
CONF
    mkdir -p "$cm"/{config,requests,cas,local,tmp}
    CERTMONGER_CONFIG_DIR=$cm/config CERTMONGER_REQUESTS_DIR=$cm/requests CERTMONGER_CAS_DIR=$cm/cas \
        CERTMONGER_LOCAL_CA_DIR=$cm/local CERTMONGER_TMPDIR=$cm/tmp HOME=$cm \
        start certmonger /usr/lib/certmonger/certmonger-session -n -L -P "$cm/socket"
    export CERTMONGER_PVT_ADDRESS=unix:path=$cm/socket
    wait_for 10 certmonger getcert list-cas
    getcert add-scep-ca -c demo -u "$demo_public" -R "$demo_ca" -N "$1" "${ra[@]}" >"$work/getcert.log" 2>&1 ||
        fail "getcert add-scep-ca"
    # certmonger would delay a request by hours if it did not know the server's certificates yet.
    wait_for 30 "certmonger's GetCACert" knows_ca
}

knows_ca() {
    [[ $(getcert list-cas -c demo) == *thumbprint* ]]
}

# certmonger_request NAME ARG...: enrols a client with $work/NAME.key and $work/NAME.pem.
certmonger_request() {
    local name=$1
    shift
    getcert request -c demo -k "$work/$name.key" -f "$work/$name.pem" -N CN=certmonger.example.test \
        -I "$name" -w -v "$@" >"$work/getcert.log" 2>&1
}

# certmonger_is STATE NAME: checks the state of a request.
certmonger_is() {
    [[ $(getcert list -i "$2") == *"status: $1"* ]]
}

# --- strongSwan ------------------------------------------------------------------------------------

# strongswan_scep KEY ARG...: enrols a client with the key $work/KEY, which is created if it does not exist.
strongswan_scep() {
    local key=$work/$1
    shift
    [ -e "$key" ] || openssl genrsa -traditional -out "$key" 2048 2>/dev/null
    pki --scep --url "$demo_public" --in "$key" --dn "O=Example, CN=strongswan.example.test" \
        --cacert-enc "$issuing_ca" --cacert-sig "$issuing_ca" --cipher des3 --outform pem "$@" \
        >"$work/strongswan.pem" 2>"$work/strongswan.log"
}

# strongswan_cannot_verify: checks that version 5.9.8 received micromdm's response, which it cannot verify with or
# without a proxy: it supports only rsaEncryption as the algorithm of the signature, but receives
# sha256WithRSAEncryption. So the test checks what the server has issued; it issues only for a message with a valid
# signature.
strongswan_cannot_verify() {
    grep -q "only RSA digest encryption supported" "$work/strongswan.log" || fail "strongSwan pki --scep"
}

# --- pyscep ----------------------------------------------------------------------------------------

# pyscep_in DIR CHALLENGE [CERTIFICATE]: runs pyscep_client.py with the key in $work/DIR.
pyscep_in() {
    local dir=$work/$1
    shift
    mkdir -p "$dir"
    REQUESTS_CA_BUNDLE=$demo_ca "$pyscep_venv/bin/python" "$root/tests/system/pyscep_client.py" \
        "$demo_public" "$dir" "$@" >"$work/pyscep.log" 2>&1
}

# pyscep_cannot_read: checks that pyscep failed only when it read the issued certificate. micromdm's server encodes the
# encrypted content in pieces (BER), which pyscep's ASN.1 library does not support.
pyscep_cannot_read() {
    grep -q "method should have been primitive, but constructed was found" "$work/pyscep.log" || fail pyscep
}
