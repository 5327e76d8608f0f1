#!/bin/sh
# Makes the certificates and keys of this directory with openssl. They serve tests alone.
set -eu
cd "$(dirname "$0")"

key() { # NAME OPTIONS...
  name=$1 && shift && openssl genpkey "$@" -out "$name.key"
}
sign() { # NAME CA SUBJECT [EXTENSIONS]
  openssl req -new -key "$1.key" -subj "$3" -out request.csr
  printf '%b' "${4:-}" > extensions
  openssl x509 -req -in request.csr -CA "$2.crt" -CAkey "$2.key" -days 36500 \
    ${4:+-extfile extensions} -out "$1.crt"
  rm request.csr extensions
}
ca() { # NAME
  openssl req -x509 -new -key "$1.key" -days 36500 -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE -out "$1.crt"
}
P256='-algorithm EC -pkeyopt ec_paramgen_curve:P-256'
P521='-algorithm EC -pkeyopt ec_paramgen_curve:P-521'
SERVER='subjectAltName=DNS:c1\nextendedKeyUsage=serverAuth\n'
CLIENT='extendedKeyUsage=clientAuth\n'

key ca $P256 && ca ca
key ca-p521 $P521 && ca ca-p521
key server-by-p521 $P256 && sign server-by-p521 ca-p521 /CN=server "$SERVER"
key server-rsa-1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024 && sign server-rsa-1024 ca /CN=server "$SERVER"
key client-rsa-1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024 && sign client-rsa-1024 ca /CN=client "$CLIENT"
key client-rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048 && sign client-rsa ca /CN=client "$CLIENT"
# X.509 version 1: OpenSSL before 3.2 makes it wherever there are no extensions.
openssl req -new -key client-rsa.key -subj /CN=client -out request.csr
openssl x509 -req -in request.csr -CA ca.crt -CAkey ca.key -days 36500 -out client-v1.crt && rm request.csr
openssl rsa -in client-rsa.key -traditional | sed 's/RSA PRIVATE KEY/PRIVATE KEY/' > client-rsa.mislabelled.key
openssl ecparam -name secp521r1 -genkey -noout -out client-p521.key && sign client-p521 ca /CN=client "$CLIENT"
key client-p256 $P256 && sign client-p256 ca /CN=client "$CLIENT"
openssl ec -in client-p256.key -no_public -out client-p256.no-public.key
# Of the CAs and servers only the certificates are used.
rm -f ca.key ca.crt ca-p521.key server-*.key client-p256.key client-rsa.csr ./*.srl
