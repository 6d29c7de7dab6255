#!/usr/bin/env bash
# Builds the images of docker-compose.yml without a registry, from what a Debian machine has: Go, redis-server and the
# Docker engine. Prints the variables that make the compose file use them.
#
#   eval "$(deploy/airgap/build.sh)" && docker-compose up -d --no-build
set -euo pipefail
cd "$(dirname "$0")/../.."

capd=captop/capd:airgap
redis=captop/redis:airgap
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# copy FILE: into the image at its own path, through whatever links lead there.
copy() { install -D "$(readlink -f "$1")" "$context/redis/root$1"; }

build() { docker build -q -t "$1" "$2" >/dev/null; }

# capd: a static binary on nothing.
mkdir -p "$context/capd" "$context/redis/data"
touch "$context/redis/data/.keep" # an empty folder would not keep its owner
CGO_ENABLED=0 go build -trimpath -ldflags=-s -o "$context/capd/capd" ./cmd/capd
cat >"$context/capd/Dockerfile" <<'D'
FROM scratch
COPY capd /capd
USER 65532:65532
ENTRYPOINT ["/capd"]
D
build "$capd" "$context/capd"

# Redis: Debian's binaries with the libraries that they name.
for program in redis-server redis-cli; do
  path=$(command -v "$program") || { echo "build.sh: $program is missing; apt-get install redis-server" >&2; exit 1; }
  install -D "$(readlink -f "$path")" "$context/redis/root/usr/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do copy "$library"; done
done
cat >"$context/redis/Dockerfile" <<'D'
FROM scratch
COPY root /
COPY --chown=999:999 data /data
ENV PATH=/usr/bin
USER 999:999
CMD ["redis-server"]
D
build "$redis" "$context/redis"

echo "export CAPD_IMAGE=$capd REDIS_IMAGE=$redis"
