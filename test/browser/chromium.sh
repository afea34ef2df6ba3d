#!/bin/sh
# Sees to it that there is a Chromium for the tests and prints its path: $CHROMIUM, or one on the machine, or, where this may
# install packages, the distribution's.
set -eu

find_one() {
	for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome-stable google-chrome; do
		[ -n "$name" ] && command -v "$name" && return 0
	done
	return 1
}

find_one && exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null; then
	{
		$as_root apt-get update -q &&
			DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends chromium
	} >&2 || true
fi
find_one || {
	echo "test/browser: no Chromium, and none could be installed: install one (apt-get install chromium), or set CHROMIUM to its path" >&2
	exit 1
}
