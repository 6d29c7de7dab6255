#!/usr/bin/env bash
# Puts what deploy/secrets.sh has made into the swarm, where deploy/swarm/stack.yml finds it. What is there stays: a secret of
# a swarm cannot be changed, only replaced under another name.
#
# The certificate is secrets/certs/edge.pem (deploy/haproxy/testca.sh makes one for tests); HAProxy uses it with EDGE_TLS=on.
set -euo pipefail
cd "$(dirname "$0")/../../secrets"

for name in redis.conf db_g1_url db_g2_url secret_key tokens edge.pem; do
  file=$name
  [ "$name" != edge.pem ] || file=${CERTS_DIR:-certs}/edge.pem
  if docker secret inspect "captop_$name" >/dev/null 2>&1; then
    echo "captop_$name is there"
  else
    docker secret create "captop_$name" "$file" >/dev/null
    echo "made captop_$name"
  fi
done
