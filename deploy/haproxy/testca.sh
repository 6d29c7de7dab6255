#!/usr/bin/env bash
# Makes a certification authority that nobody else trusts, for tests, and a certificate of it for HAProxy:
#
#   deploy/haproxy/testca.sh [FOLDER [NAME…]]        $CERTS_DIR or secrets/certs, and localhost, unless given
#   EDGE_TLS=on docker-compose up -d haproxy
#   curl --cacert secrets/certs/ca/ca.crt https://localhost:5001/health
#
# A folder that HAProxy has certificates in holds, for each name, one PEM file with the certificate, its chain and its key.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../.."
folder=${1:-${CERTS_DIR:-secrets/certs}}
shift || true
[ $# -gt 0 ] || set -- localhost
mkdir -p "$folder/ca"
cd "$folder"

key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
if [ ! -e ca/ca.crt ]; then
  openssl req -x509 "${key[@]}" -keyout ca/ca.key -out ca/ca.crt -days 30 -subj "/CN=captop test authority" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
  chmod 600 ca/ca.key
fi
names=$(printf ',DNS:%s' "$@")
openssl req "${key[@]}" -keyout ca/edge.key -out ca/edge.csr -subj "/CN=$1" 2>/dev/null
openssl x509 -req -in ca/edge.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial -days 30 -out ca/edge.crt \
  -extfile <(printf 'subjectAltName=%s,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "${names:1}") 2>/dev/null
cat ca/edge.crt ca/ca.crt ca/edge.key >edge.pem.new
chmod 444 edge.pem.new # for HAProxy's user; the folder above is yours alone
mv edge.pem.new edge.pem
rm ca/edge.csr ca/edge.key ca/edge.crt
echo "made $(pwd)/edge.pem for $*"
