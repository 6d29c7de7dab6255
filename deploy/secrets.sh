#!/usr/bin/env bash
# Makes ./secrets for docker-compose.yml: passwords, keys, tokens, and the settings of captop in the network. What is there
# stays: to change a secret, remove its file (redis.conf with db_g1_url, db_g2_url and captop.toml), run this again, and
# "docker-compose up -d --force-recreate".
#
# The folder is for you alone; the files in it are readable for all, since each container has a user of its own and
# sees only the files that are mounted into it.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
mkdir -p -m 700 secrets
mkdir -p secrets/certs # deploy/haproxy/testca.sh, or your own: a PEM file with certificate, chain and key for each name
cd secrets

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# put FILE: from stdin, whole or not at all.
put() { cat >"$1.new" && chmod 444 "$1.new" && mv "$1.new" "$1" && echo "made secrets/$1"; }

if [ ! -e redis.conf ]; then
  password=$(random) replica=$(random)
  printf 'redis://:%s@db_g1:6379/0\n' "$password" | put db_g1_url
  printf 'redis://:%s@db_g2:6379/0\n' "$password" | put db_g2_url
  rm -f captop.toml
  # The health check may do nothing but ping; a standby nothing but replicate. Nobody empties a node that runs: app_cp would forget
  # what it had promised to a write, under the same run id. To empty one, stop it and remove its volume.
  put redis.conf <<C
requirepass $password
user default on >$password ~* &* +@all -flushall -flushdb
masteruser replica
masterauth $replica
user healthcheck on nopass -@all +ping
user replica on >$replica -@all +ping +psync +replconf
C
fi
[ -e secret_key ] || random | put secret_key
[ -e grafana_password ] || random | put grafana_password
if [ ! -e tokens ]; then
  # What services know of a token is its SHA-256: name, role, hash, as "capd token NAME ROLE" prints.
  for role in admin write read; do
    random | put "token_$role"
    printf '%s %s %s\n' "$role" "$role" "$(tr -d '\n' <"token_$role" | sha256sum | cut -d ' ' -f 1)"
  done | grep -v '^made ' | put tokens
  rm -f captop.toml
fi
[ -e captop.toml ] || put captop.toml <<C
cp = ["dns+http://app_cp:5001"]
ap = ["dns+http://app_ap:5002"]
g1 = "$(cat db_g1_url)"
g2 = "$(cat db_g2_url)"
token = "$(cat token_admin)"
C
