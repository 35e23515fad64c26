#!/bin/sh
# Prints the first 12 digits of this checkout's commit, or nothing if it cannot be found out. It works without git,
# because images are built without it, from a context that has only the references of .git.
set -eu
cd "$(dirname "$0")/.."
[ -f .git/HEAD ] || exit 0
head=$(cat .git/HEAD)
case $head in
  "ref: "*)
    ref=${head#ref: }
    if [ -f ".git/$ref" ]; then
      head=$(cat ".git/$ref")
    else
      head=$(sed -n "s|^\([0-9a-f]*\) $ref\$|\1|p" .git/packed-refs 2>/dev/null || true)
    fi ;;
esac
printf '%.12s' "$head"
