#!/usr/bin/env bash
# Everything that has to hold before a change lands: installs what the tests need, then checks format, vet,
# staticcheck and the tests with the race detector. Run it as it is, from anywhere; CI runs the same.
set -euo pipefail
cd "$(dirname "$0")"

section() { printf '\n== %s\n' "$*"; }

# need COMMAND PACKAGE: makes sure that a command that the tests use is there.
missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need redis-server redis-server
need redis-benchmark redis-tools
need webdis webdis
need tmux tmux
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need haproxy haproxy
need gcc gcc # the race detector links with it
need systemd-analyze systemd # it verifies the units
if docker info >/dev/null 2>&1; then
  need docker-compose docker-compose
else
  export CAPTOP_NO_DOCKER=1
fi

section "what the tests need"
if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "run_tests.sh: please install ${missing[*]} (the names are Debian's), then run this again" >&2
    exit 1
  fi
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  # Debian starts these as services, now and at each boot. The tests need the programs only, and ports of their own.
  for service in redis-server webdis prometheus prometheus-alertmanager haproxy; do
    case " ${missing[*]} " in *" $service "*) ;; *) continue ;; esac
    "${as_root[@]}" service "$service" stop >/dev/null 2>&1 || true # it may never have started
    "${as_root[@]}" update-rc.d "$service" disable
  done
fi
[ -z "${CAPTOP_NO_DOCKER:-}" ] || echo "NOT TESTED: no Docker engine answers here, so the compose stack is not brought up"
redis-server --version
promtool --version 2>&1 | sed -n 1p
tmux -V
go version

section "gofmt"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
  printf 'run_tests.sh: gofmt would change:\n%s\n' "$unformatted" >&2
  exit 1
fi

section "go vet"
go vet ./...

section "staticcheck"
go tool staticcheck ./...

section "go test -race"
go test -race -timeout 70m ./...
