#!/bin/bash
# The installed unit under a real systemd, by hand and as root, after tests/scripts/try_packages.sh CHROOT: boots CHROOT
# with systemd-nspawn(1), installs the packages there, and looks at start, sandbox, roles, reload, upgrade and removal.
# The last line is "unit: all good".
set -euo pipefail
chroot=${1:?usage: try_unit.sh CHROOT}
nspawn=${NSPAWN:-systemd-nspawn}
source=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$chroot/root/kiln"
cp "$source"/build/package/*.deb "$source/tests/models/block.onnx" "$chroot/root/kiln/"
rm -f "$chroot/root/kiln/unit.log"
cat >"$chroot/root/kiln/unit.sh" <<'INSIDE'
#!/bin/bash
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
cd /root/kiln
step() { echo "== $*"; }
fail() { echo "failed: $*"; exit 1; }
json() { python3 -c 'import json,sys; print(eval(sys.argv[1], {"x": json.load(sys.stdin)}))' "$1"; }
trap 'echo "ended in line $LINENO"; journalctl -u kilnd --no-pager | tail -n 20' ERR

step "start"
dpkg -P kiln >/dev/null 2>&1 || true; rm -rf /var/lib/kiln   # of a trial that failed
dpkg -i ./*.deb >/dev/null
[[ $(systemctl is-enabled kilnd.service kilnd.socket) == $'enabled\nenabled' ]]
[[ $(systemctl is-active kilnd.service kilnd.socket) == $'active\nactive' ]]
[[ $(systemctl show -p Result -p NRestarts --value kilnd | sort | tr '\n' ' ') == "0 success " ]]
modes=$(stat -c '%U:%G %a' /run/kiln /run/kiln/control.sock /var/lib/kiln | tr '\n' ' ')
[[ $modes == "kiln:kiln 755 root:kiln 660 kiln:kiln 750 " ]]

step "sandbox"
kctl doctor --json >doctor.json || { kctl doctor; false; }
for mechanism in landlock seccomp network_namespace; do grep -q "$mechanism" doctor.json || fail "no $mechanism"; done
[[ $(json '[c["result"] for c in x["checks"] if c["check"] == "sandbox"]' <doctor.json) == "['PASS']" ]]

step "a job under the unit"
kctl import block.onnx --name block --shape batch=2
kctl tune block --budget 20s >tune.log 2>&1 || { cat tune.log; false; }
release=$(kctl releases block --json | json 'x[1]["id"]')
kctl promote "$release" --force
journalctl --no-pager -o cat JOB_ID=j-1 | grep -qx 'job j-1 is done'
journalctl --no-pager -x MESSAGE_ID=b0f7cc0d8d6c4b0f9d2b64c4a4f0c5e1 | grep -q 'Subject: kilnd is ready'

step "people and inference processes"
for user in look operate nobody-here; do useradd --create-home "$user"; done
usermod -aG kiln look
usermod -aG kiln,kiln-operator operate
as() { local user=$1; shift; setpriv --reuid="$user" --regid="$user" --init-groups "$@"; }
[[ $(as operate kctl status --json | json 'x["role"]') == operator ]]
[[ $(as look kctl status --json | json 'x["role"]') == viewer ]]
refused() { local status=0; "$@" >/dev/null 2>&1 || status=$?; [[ $status == 4 ]] || fail "status $status of: $*"; }
refused as operate kctl promote "$release"
refused as nobody-here kctl status
load='import kiln; kiln.load("/var/lib/kiln/releases/block/current")'
as look python3 -c "$load"
as nobody-here python3 -c "$load" 2>/dev/null && fail "a stranger loaded a release"
as look cat /var/lib/kiln/kiln.db >/dev/null 2>&1 && fail "a viewer read the database"

step "reload, upgrade, socket activation"
echo 'level = "debug"' >>/etc/kiln/kilnd.toml
systemctl reload kilnd
journalctl -u kilnd --no-pager -o cat | grep -q "log.level was 'info', is 'debug'"
kctl tune block --budget 60s --detach
running() {
  for ((i = 0; i < 100; ++i)); do [[ $(kctl jobs --json | json 'x[0]["state"]') == running ]] && return; sleep 0.1; done
  fail "the job does not go on"
}
running
before=$(systemctl show -p MainPID --value kilnd)
dpkg -i ./kiln_*.deb >/dev/null
[[ $(systemctl show -p MainPID --value kilnd) != "$before" ]]
running
systemctl stop kilnd.service 2>/dev/null
running   # the socket has started the daemon again

step "remove, purge"
dpkg -r kiln >/dev/null
systemctl is-active --quiet kilnd.service && fail "it runs on"
[[ -e /var/lib/kiln/keys/node.pem ]]
KILN_PURGE_STATE=yes dpkg -P kiln python3-kiln libkiln-dev libkiln0 >/dev/null
[[ ! -e /var/lib/kiln && ! -e /run/kiln && ! -e /etc/kiln ]]
[[ -z $(systemctl --failed --plain --no-legend) ]]
for user in look operate nobody-here; do userdel --remove "$user" 2>/dev/null; done
echo "unit: all good"
INSIDE
chmod 755 "$chroot/root/kiln/unit.sh"
mkdir -p "$chroot/etc/systemd/system/multi-user.target.wants"
cat >"$chroot/etc/systemd/system/try-unit.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/kiln/unit.sh
ExecStopPost=/bin/sh -c 'systemctl poweroff 2>/dev/null'
StandardOutput=append:/root/kiln/unit.log
StandardError=inherit
UNIT
ln -sf ../try-unit.service "$chroot/etc/systemd/system/multi-user.target.wants/"
# Its own filter refuses the calls of Landlock unless told otherwise.
timeout 540 "$nspawn" --directory="$chroot" --boot --quiet --register=no --keep-unit --private-network \
  --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' \
  </dev/null >"$chroot/root/kiln/boot.log" 2>&1 || true   # the log below says how it went
rm -f "$chroot/etc/systemd/system/multi-user.target.wants/try-unit.service"
cat "$chroot/root/kiln/unit.log"
tail -n 1 "$chroot/root/kiln/unit.log" | grep -qx 'unit: all good'
