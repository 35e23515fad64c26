#!/bin/sh
# Prints the commit of this checkout, its first 12 digits, and nothing when it cannot be known. It needs no git program:
# an image is built where there is none, and sees of .git only where the branches point to.
set -eu
cd "$(dirname "$0")/.."
[ -f .git/HEAD ] || exit 0
head=$(cat .git/HEAD)
case $head in
  "ref: "*)
    ref=${head#ref: }
    if [ -f ".git/$ref" ]; then head=$(cat ".git/$ref"); else head=$(sed -n "s|^\([0-9a-f]*\) $ref\$|\1|p" .git/packed-refs 2>/dev/null || true); fi ;;
esac
printf '%.12s' "$head"
