#!/bin/sh
# Updates the containers of docker-compose.yml one after another, without interrupting service:
#
#   git pull && deploy/compose/update.sh          a new release
#   deploy/compose/update.sh                      after realmgate.env was changed
#   REALMGATE_UPDATE=pull deploy/compose/update.sh   with images from your own registry
#
# Each container of a service is stopped only when its successor is healthy, so even a service with one container loses
# no request. The gateway comes last. It holds the published port, so it is away for a second or two; the proxy of the
# profile "tls" lets requests wait meanwhile. After a failure the old containers still run.
set -eu
cd "$(dirname "$0")/../.."
patience=${REALMGATE_PATIENCE:-300}   # seconds within which a new container must become healthy

fail() { echo "update: $*" >&2; exit 1; }
containers() { docker compose ps -q "$1"; }

# Prints a container of the service $1 that is not in the list $2.
successor() {
  for id in $(containers "$1"); do
    case " $2 " in *" $id "*) ;; *) echo "$id"; return ;; esac
  done
}

# Waits until the container $1 is healthy. It fails for one that keeps restarting.
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
docker compose kill -s HUP nats || true   # NATS reloads its users, which new services need
docker compose up -d --no-deps --wait postgres nats redis   # restarted only if their part of the file changed
for service in users-svc vault-svc activity-svc; do
  echo "update: $service"
  replace "$service"
done
echo "update: gateway"
docker compose up -d --no-deps --force-recreate --wait gateway
