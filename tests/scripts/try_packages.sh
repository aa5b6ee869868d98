#!/bin/bash
# The Debian packages on a fresh system, by hand and as root: needs the network for Debian's own packages.
#   debootstrap --variant=minbase bookworm CHROOT http://deb.debian.org/debian
#   packaging/make-debian-packages && tests/scripts/try_packages.sh CHROOT
# Installs, tunes a model as the user kiln, runs the release from Python, installs again, removes, purges; the last line
# is "packages: all good".
set -euo pipefail
chroot=${1:?usage: try_packages.sh CHROOT}
source=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$chroot/root/kiln"
cp "$source"/build/package/*.deb "$source/tests/models/block.onnx" \
  "$source/packaging/run_release.py" "$chroot/root/kiln/"
mount -t proc proc "$chroot/proc"
trap 'umount "$chroot/sys" "$chroot/proc"' EXIT
mount -t sysfs -o ro sysfs "$chroot/sys"

chroot "$chroot" /bin/bash -euo pipefail -s <<'INSIDE'
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
cd /root/kiln
step() { echo "== $*"; }

step install
apt-get update -qq
apt-get install -y -qq --no-install-recommends ./*.deb openssl openssh-client >install.log 2>&1 ||
  { tail install.log; exit 1; }
getent passwd kiln
getent group kiln-operator kiln-admin
kilnd --check-config
dpkg --verify kiln libkiln0 libkiln-dev python3-kiln

step "tune as the user kiln"
install -d -o kiln -g kiln -m 0750 /var/lib/kiln   # what StateDirectory= of the unit does
install -d -o kiln -g kiln -m 0755 /run/kiln
setpriv --reuid=kiln --regid=kiln --init-groups kilnd --foreground >kilnd.log 2>&1 &
daemon=$!
trap 'kill "$daemon" 2>/dev/null || true' EXIT
for ((i = 0; i < 100; ++i)); do kctl status >/dev/null 2>&1 && break; sleep 0.1; done
kctl status || { cat kilnd.log; exit 1; }
kctl doctor || { cat kilnd.log; exit 1; }
kctl import block.onnx --name block --shape batch=2
kctl tune block --budget 20s | tail -n 3
tuned=$(kctl releases block --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[1]["id"])')
kctl promote "$tuned" --force
kctl export j-1 report && (cd report && ./verify.sh)
python3 -c 'import kiln; m = kiln.load("/var/lib/kiln/releases/block/current"); print(m.inputs, kiln.version())'
kill -TERM "$daemon"; wait "$daemon"
key=$(sha256sum /var/lib/kiln/keys/node.pem)

step "install again"
echo '# a line of the site' >>/etc/kiln/kilnd.toml
dpkg -i ./*.deb >/dev/null
grep -q 'a line of the site' /etc/kiln/kilnd.toml

step "remove, purge: the state stays"
dpkg -r kiln python3-kiln libkiln-dev libkiln0 >/dev/null
[[ -e /etc/kiln/kilnd.toml && ! -e /usr/sbin/kilnd && ! -e /usr/lib/python3/dist-packages/kiln ]]
dpkg -P kiln | grep 'keeping key'
[[ ! -e /etc/kiln && $(sha256sum /var/lib/kiln/keys/node.pem) == "$key" ]]

step "install, purge with the state"
dpkg -i ./*.deb >/dev/null
KILN_PURGE_STATE=yes dpkg -P kiln python3-kiln libkiln-dev libkiln0 >/dev/null
[[ ! -e /var/lib/kiln && ! -e /run/kiln && ! -e /etc/kiln ]]
left=$(find / -xdev \( -path /proc -o -path /root \) -prune -o -name '*kiln*' -print)
[[ -z $left ]] || { echo "left behind: $left"; exit 1; }
echo "packages: all good"
INSIDE
