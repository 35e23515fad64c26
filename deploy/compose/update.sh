#!/bin/sh
# Brings the containers of docker-compose.yml up to date, one after the other, so that requests are served meanwhile:
#
#   git pull && deploy/compose/update.sh          a new release
#   deploy/compose/update.sh                      after realmgate.env was changed
#   REALMGATE_UPDATE=pull deploy/compose/update.sh   with images from your own registry
#
# Each container of a service gets a successor, which must be healthy before the old one is told to stop. A service with one
# container loses no request either. The gateway, which holds the published port, comes last and is away for a second or
# two; behind the proxy of the profile "tls" requests wait meanwhile. After a failure everything old still runs.
set -eu
cd "$(dirname "$0")/../.."
patience=${REALMGATE_PATIENCE:-300}   # seconds that a new container has to become healthy

fail() { echo "update: $*" >&2; exit 1; }
containers() { docker compose ps -q "$1"; }

# A container of the service $1 that is not in the list $2.
successor() {
  for id in $(containers "$1"); do
    case " $2 " in *" $id "*) ;; *) echo "$id"; return ;; esac
  done
}

# Waits for the container $1, but not for one that ends again and again.
wait_healthy() {
  waited=0
  while state=$(docker inspect -f '{{.State.Health.Status}} {{.RestartCount}}' "$1") && [ "${state% *}" != healthy ]; do
    [ "$waited" -lt "$patience" ] && [ "${state#* }" -lt 3 ] || return 1
    waited=$((waited + 1))
    sleep 1
  done
}

replace() {
  old=$(containers "$1")
  [ -n "$old" ] || { docker compose up -d --no-deps "$1"; return; }
  all=$(echo $old)
  count=$(echo "$old" | wc -l)
  for id in $old; do
    docker compose up -d --no-deps --no-recreate --scale "$1=$((count + 1))" "$1"
    new=$(successor "$1" "$all")
    [ -n "$new" ] || fail "$1 got no new container"
    if ! wait_healthy "$new"; then
      docker logs --tail 20 "$new" >&2
      docker rm -f "$new" >/dev/null
      fail "the new container of $1 is not healthy: see its log above; the old ones go on"
    fi
    docker stop "$id" >/dev/null
    docker rm "$id" >/dev/null
    all="$all $new"
  done
}

REALMGATE_COMMIT=$(sh deploy/commit.sh)
export REALMGATE_COMMIT
docker compose "${REALMGATE_UPDATE:-build}"
docker compose run --rm --no-deps -T secrets
docker compose kill -s HUP nats || true   # reads its users again, before the services are replaced that are new ones
docker compose up -d --no-deps --wait postgres nats redis   # left alone unless their part of the file changed
for service in users-svc vault-svc activity-svc; do
  echo "update: $service"
  replace "$service"
done
echo "update: gateway"
docker compose up -d --no-deps --force-recreate --wait gateway
