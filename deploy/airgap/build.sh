#!/usr/bin/env bash
# Builds every image of docker-compose.yml without a registry, from what a Debian machine has: Go, the packages that are
# named below, and the Docker engine. Prints the variables that make the compose file use them.
#
#   deploy/airgap/build.sh >.env && docker-compose up -d --no-build
#   deploy/airgap/build.sh TAG       images of that tag; "airgap" unless given
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${1:-airgap}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# take IMAGE PROGRAM PACKAGE: a program of this machine into the image, with the libraries that it names.
take() {
  local path library
  path=$(PATH=$PATH:/usr/sbin command -v "$2") || { echo "build.sh: $2 is missing; apt-get install $3" >&2; exit 1; }
  install -D "$(readlink -f "$path")" "$context/$1/root$path"
  for library in $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*'); do
    install -D "$(readlink -f "$library")" "$context/$1/root$library" # at its own path, through whatever links lead there
  done
}

# image NAME UID FOLDER LINE…: root/ on nothing, a folder that the user owns, as volumes take their owner from it, and the
# last lines of a Dockerfile.
image() {
  local name=$1 uid=$2 folder=$3
  shift 3
  mkdir -p "$context/$name/root" "$context/$name/own"
  touch "$context/$name/own/.keep" # an empty folder would not keep its owner
  {
    printf 'FROM scratch\nCOPY root /\nCOPY --chown=%s own %s\nENV PATH=/usr/bin:/usr/sbin\nUSER %s\n' "$uid" "$folder" "$uid"
    printf '%s\n' "$@"
  } >"$context/$name/Dockerfile"
  docker build -q -t "captop/$name:$tag" "$context/$name" >"$context/log" 2>&1 || { cat "$context/log" >&2; exit 1; }
}

mkdir -p "$context/capd/root" "$context/captop/root/usr/bin"
CGO_ENABLED=0 go build -trimpath -ldflags=-s -o "$context/capd/root/capd" ./cmd/capd
image capd 65532:65532 /run/capd 'ENTRYPOINT ["/capd"]'

take redis redis-server redis-server
take redis redis-cli redis-tools
image redis 999:999 /data 'CMD ["redis-server"]'

# captop verifies backups with a redis-server.
take captop redis-server redis-server
CGO_ENABLED=0 go build -trimpath -ldflags=-s -o "$context/captop/root/usr/bin/captop" ./cmd/captop
mkdir -p "$context/captop/own/captop/backups" # where volumes go, one in the other
touch "$context/captop/own/captop/backups/.keep"
image captop 999:999 /state 'ENV TERM=xterm-256color' 'ENTRYPOINT ["/usr/bin/captop"]'

take haproxy haproxy haproxy
take haproxy bash bash # for its health check
image haproxy 99:99 /var/lib/haproxy 'CMD ["haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg"]'

take prometheus prometheus prometheus
take prometheus promtool prometheus
image prometheus 65534:65534 /prometheus 'ENTRYPOINT ["prometheus"]'

# Debian's name of it, since another program had the other one first.
take alertmanager prometheus-alertmanager prometheus-alertmanager
take alertmanager amtool prometheus-alertmanager
cp -rL --parents /usr/share/prometheus/alertmanager "$context/alertmanager/root" # its templates
image alertmanager 65534:65534 /alertmanager 'ENTRYPOINT ["prometheus-alertmanager"]'

for name in capd redis captop haproxy prometheus alertmanager; do
  printf '%s_IMAGE=captop/%s:%s\n' "${name^^}" "$name" "$tag"
done
