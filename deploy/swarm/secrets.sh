#!/usr/bin/env bash
# Puts what deploy/secrets.sh has made into the swarm, where deploy/swarm/stack.yml finds it. What is there stays: a secret of
# a swarm cannot be changed, only replaced under another name, which another SWARM_PREFIX gives.
#
# The certificate is edge.pem in CERTS_DIR, which is secrets/certs unless given (deploy/haproxy/testca.sh makes one for tests);
# HAProxy uses it with EDGE_TLS=on.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=${SWARM_PREFIX:-captop}

for name in redis.conf db_g1_url db_g2_url secret_key tokens edge.pem; do
  file=secrets/$name
  [ "$name" != edge.pem ] || file=${CERTS_DIR:-secrets/certs}/edge.pem
  if docker secret inspect "${prefix}_$name" >/dev/null 2>&1; then
    echo "${prefix}_$name is there"
  else
    docker secret create "${prefix}_$name" "$file" >/dev/null
    echo "made ${prefix}_$name"
  fi
done
