#!/bin/sh
# Makes again the files beside it, with openssl 3: what the tests need and rcgen cannot make
# (keys under 2048 bits, SHA-1, encrypted keys, PKCS#12, PKCS#7). They are test data, secret to nobody.
set -eu
cd "$(dirname "$0")"
days=36500

openssl req -x509 -newkey rsa:2048 -sha256 -nodes -days $days -subj /CN=plain.example.com \
    -addext subjectAltName=DNS:plain.example.com -keyout plain.key -out plain.pem
openssl req -x509 -newkey rsa:1024 -sha256 -nodes -days $days -subj /CN=short.example.com \
    -addext subjectAltName=DNS:short.example.com -keyout short.key -out short.pem
openssl req -x509 -key plain.key -sha1 -days $days -subj /CN=sha1.example.com \
    -addext subjectAltName=DNS:sha1.example.com -addext basicConstraints=critical,CA:FALSE -out sha1.pem
# An issuer that signs its server with SHA-1: what an old enterprise CA does.
openssl req -x509 -key plain.key -sha256 -days $days -subj "/CN=Old CA" -out old-ca.pem
openssl req -new -key plain.key -subj /CN=ndes.corp.local -out plain.csr
printf 'subjectAltName=DNS:ndes.corp.local\nbasicConstraints=CA:FALSE\n' >sha1-leaf.ext
openssl x509 -req -in plain.csr -CA old-ca.pem -CAkey plain.key -set_serial 7 -sha1 -days $days \
    -extfile sha1-leaf.ext -out sha1-leaf.pem
rm sha1-leaf.ext

openssl rsa -in plain.key -traditional -out pkcs1.key
openssl rsa -in plain.key -traditional -aes128 -passout pass:test -out legacy-encrypted.key
openssl pkcs8 -topk8 -in plain.key -passout pass:test -out encrypted.key
openssl pkcs8 -topk8 -in plain.key -passout pass:test -outform DER -out encrypted.der
openssl pkcs12 -export -in plain.pem -inkey plain.key -passout pass:test -out plain.pfx
openssl crl2pkcs7 -nocrl -certfile plain.pem -certfile old-ca.pem -out two.pem.p7b
openssl crl2pkcs7 -nocrl -certfile plain.pem -certfile old-ca.pem -outform DER -out two.der.p7b
openssl x509 -in plain.pem -trustout -out trusted.pem
openssl pkcs12 -in plain.pfx -passin pass:test -nodes -out bag.pem
openssl ecparam -name prime256v1 -genkey -out sec1.key
