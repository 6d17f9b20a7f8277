#!/bin/bash
# Installs a build into a machine with a real systemd and tries what systemd/README.md says.
# service_test.sh BUILD_DIR [SUITE]      SUITE: bookworm, trixie; default: the one of this machine
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(readlink -f "${1:?usage: service_test.sh BUILD_DIR [SUITE]}")
suite=${2:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
# shellcheck source=tests/systemd/machine.sh
. "$here/machine.sh"

failures=0
begin=$(date +%s%N)

say() { printf '[%6d ms] %s\n' $((($(date +%s%N) - begin) / 1000000)) "$*"; }

# check SENTENCE COMMAND...: the sentence is true when the command succeeds.
check() {
    local sentence=$1 output
    shift
    if output=$("$@" 2>&1); then
        say "ok: $sentence"
    else
        failures=$((failures + 1))
        say "FAILED: $sentence"
        printf '    %s\n' "$*" "$output"
    fi
}

refused() { ! "$@"; }

# ---- asking ---------------------------------------------------------------------------------

property() { inside systemctl show "$1" -p "$2" --value; }
property_is() { [ "$(property "$1" "$2")" = "$3" ] || { property "$1" "$2"; return 1; }; }
says() { local wanted=$1; shift; grep -qE -- "$wanted" <<<"$("$@" 2>&1)" || { "$@"; return 1; }; }
get() { inside curl -s -S --max-time 10 "$1"; }

# status CLUSTER EXPRESSION: a Python expression over the object s of `topsman status --json`.
status() {
    inside topsman status -n "$1" --json |
        python3 -c 'import json, sys; s = json.load(sys.stdin); print(eval(sys.argv[1]))' "$2"
}
status_is() { [ "$(status "$1" "$2")" = "$3" ] || { status "$1" "$2"; return 1; }; }
kREADY='sum(p["ready"] for p in s["pools"])'
kPIDS='" ".join(str(x["pid"]) for p in s["pools"] for x in p["slots"])'

# signal_master UNIT SIGNAL: once there is one. By systemd: `kill 0` would end whoever runs the tests.
signal_master() {
    eventually 30 refused property_is "$1" MainPID 0 >/dev/null
    inside systemctl kill --kill-whom=main --signal="$2" "$1"
}

write() { cat >"$machine/etc/topsman/$1.yaml"; }
edit() { sed -i "$2" "$machine/etc/topsman/$1.yaml"; }
drop_in() {
    mkdir -p "$machine/etc/systemd/system/topsman@$1.service.d"
    cat >"$machine/etc/systemd/system/topsman@$1.service.d/$2"
    inside systemctl daemon-reload
}

# ---- the machine ----------------------------------------------------------------------------

require_container
base=$(base_tree "$suite" systemd systemd-sysv dbus curl python3 nodejs procps) || exit 1
make_machine "$base"
DESTDIR=$machine cmake --install "$build" --prefix /usr >"$work/install.log" || {
    cat "$work/install.log"
    exit 1
}
# The libraries this build is linked with: the machine may be of another Debian.
ldd "$build"/bin/topsman "$build"/bin/topsman-http | awk '$3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libpthread|libdl|ld-linux[^/]*)\.so' |
    xargs -I{} cp -nL {} "$machine/usr/lib/x86_64-linux-gnu/" 2>/dev/null
cp "$here"/workers/* "$machine/srv/"
boot
say "booted $suite, $(inside systemctl --version | head -n 1)"
inside systemd-sysusers
inside systemd-tmpfiles --create

# ---- one cluster ----------------------------------------------------------------------------

the_unit_is_sound() {
    check "the units have no unknown key" \
        [ -z "$(inside systemd-analyze verify /usr/lib/systemd/system/topsman@.service \
            /usr/lib/systemd/system/topsman-workers@.service 2>&1)" ]
    check "the sandbox scores 2.0 or better" \
        inside systemd-analyze security --no-pager --threshold=20 topsman@shop
    check "a worker out of memory does not end the cluster" \
        property_is topsman@shop OOMPolicy continue
}

it_starts_and_serves() {
    write shop <<'YAML'
listeners:
  http: { address: "0.0.0.0:80" }
pools:
  web:
    command: [topsman-http]
    listeners: [http]
    workers: 3
    ready: { by: notify }
shared:
  counters: [orders]
  mutexes: [stock]
YAML
    check "systemctl enable --now starts it" inside systemctl enable --now topsman@shop
    check "started means that its pool has a ready worker" status_is shop "$kREADY > 0" True
    check "and soon all" eventually 20 status_is shop "$kREADY" 3
    check "a port below 1024 is served by an ordinary user" says '^web/[0-2] pid' get localhost
    check "systemctl status has the master's own sentence" \
        says 'Status: ".*3.*"' inside systemctl status topsman@shop
    check "the master is user topsman" \
        says '^topsman$' inside ps -o user= -p "$(property topsman@shop MainPID)"
    check "root finds the cluster without being told its name" says shop inside topsman status
}

it_reloads() {
    edit shop 's/workers: 3/workers: 5/'
    check "systemctl reload scales up" inside systemctl reload topsman@shop
    check "and returns when the new workers are ready" status_is shop "$kREADY" 5
    cp "$machine/etc/topsman/shop.yaml" "$work/good.yaml"
    edit shop 's/workers: 5/wokers: 5/'
    check "reload of a wrong file fails" refused inside systemctl reload topsman@shop
    check "and the cluster goes on" status_is shop "$kREADY" 5
    check "and the unit is active" property_is topsman@shop ActiveState active
    sed 's/workers: 5/workers: 2/' "$work/good.yaml" >"$machine/etc/topsman/shop.yaml"
    echo 'watch: true' >>"$machine/etc/topsman/shop.yaml"
    check "reload scales down" inside systemctl reload topsman@shop
    check "to what the file says" status_is shop "$kREADY" 2
    edit shop 's/workers: 2/workers: 4/'
    check "with watch: true, saving is enough" eventually 20 status_is shop "$kREADY" 4
}

a_worker_dies() {
    local victim
    victim=$(status shop 's["pools"][0]["slots"][0]["pid"]')
    inside kill -KILL "$victim"
    check "a killed worker is replaced" eventually 20 \
        status_is shop "$kREADY == 4 and $victim not in [x['pid'] for x in s['pools'][0]['slots']]" True
    check "by the master, not by systemd" property_is topsman@shop NRestarts 0
}

it_is_upgraded() {
    local pid workers program
    pid=$(property topsman@shop MainPID)
    workers=$(status shop "$kPIDS")
    program=$(inside readlink "/proc/$pid/exe")
    # As a package manager does: another file of the same name.
    cp "$machine$program" "$machine$program.new" && mv "$machine$program.new" "$machine$program"
    check "topsman upgrade executes the newer program" inside topsman upgrade -n shop
    check "which is the one that was installed" says "^$program\$" inside readlink "/proc/$pid/exe"
    check "in the same main process" property_is topsman@shop MainPID "$pid"
    check "with the same workers" status_is shop "$kPIDS" "$workers"
    check "for systemd nothing has happened" property_is topsman@shop NRestarts 0
    check "the unit is active" property_is topsman@shop SubState running
    check "and is reloaded as ever" inside systemctl reload topsman@shop
}

the_master_dies() {
    local old orders
    inside curl -s -X POST localhost/orders >/dev/null
    orders=$(status shop 's["counters"]["orders"]["total"]')
    old=$(status shop "$kPIDS")
    signal_master topsman@shop KILL
    check "systemd starts a killed master again" eventually 30 property_is topsman@shop NRestarts 1
    check "the next one goes on with the workers of the dead one" \
        eventually 30 status_is shop "$kPIDS if $kREADY == 4 else 0" "$old"
    check "and what was counted is still counted" \
        status_is shop "s['counters']['orders']['total'] >= $orders > 0" True
}

it_dies_again_and_again() {
    local old n
    old=$(status shop "$kPIDS")
    inside python3 /srv/hammer.py 127.0.0.1 80 /srv/enough >"$work/hammer.txt" &
    local hammer=$!
    for n in $(seq 20); do
        signal_master topsman@shop KILL
        eventually 30 property_is topsman@shop NRestarts $((n + 1)) >/dev/null &&
            eventually 30 status_is shop "$kREADY" 4 >/dev/null || break
    done
    check "twenty times in a row" property_is topsman@shop NRestarts 21
    touch "$machine/srv/enough"
    wait "$hammer"
    check "no request fails meanwhile" says '^[1-9][0-9]* answered, 0 failed$' cat "$work/hammer.txt"
    say "$(cat "$work/hammer.txt")"
    check "by the same workers" status_is shop "$kPIDS" "$old"
}

timed_out() {
    "$@"
    [ $? = 28 ] # curl(1): not refused, and not answered in time
}

everybody_dies_at_once() {
    local load
    drop_in shop slow.conf <<<$'[Service]\nRestartSec=5s'
    check "systemd keeps the listening socket" property_is topsman@shop NFileDescriptorStore 1
    rm -f "$machine/srv/enough"
    inside python3 /srv/hammer.py 127.0.0.1 80 /srv/enough >"$work/load.txt" &
    load=$!
    inside systemctl kill --kill-whom=all --signal=KILL topsman@shop
    check "master and workers killed under load" \
        eventually 20 property_is topsman@shop SubState auto-restart
    touch "$machine/srv/enough"
    check "nobody is left" refused inside pgrep -u topsman
    check "who asks now is not refused" \
        timed_out inside curl -s -o /dev/null --max-time 1 localhost
    inside curl -s --max-time 30 localhost >"$work/between.txt" &
    check "all are started again" eventually 30 status_is shop "$kREADY" 4
    wait $! "$load"
    check "and answer who has asked while nobody was there" says '^web/' cat "$work/between.txt"
    check "the socket is in the store, still once" property_is topsman@shop NFileDescriptorStore 1
    rm "$machine/etc/systemd/system/topsman@shop.service.d/slow.conf"
    inside systemctl daemon-reload
}

the_master_hangs() {
    local old
    drop_in shop watchdog.conf <<'UNIT'
[Service]
WatchdogSec=2
TimeoutAbortSec=1
UNIT
    inside systemctl restart topsman@shop
    old=$(status shop "$kPIDS")
    signal_master topsman@shop STOP
    check "a hung master is found by the watchdog and replaced" \
        eventually 30 property_is topsman@shop NRestarts 1
    check "and the next goes on with its workers" \
        eventually 30 status_is shop "$kPIDS if $kREADY == 4 else 0" "$old"
}

# Neither the master nor ExecStop= nor ExecStopPost= is there to end the workers then.
it_stops_without_a_master() {
    drop_in shop slow.conf <<'UNIT'
[Service]
RestartSec=1h
WatchdogSec=0
TimeoutStopSec=1
UNIT
    inside systemctl restart topsman@shop
    signal_master topsman@shop STOP
    inside systemctl stop topsman@shop topsman-workers@shop
    check "stopped while its master hangs, no process is left" refused inside pgrep -u topsman
    inside systemctl start topsman@shop
    signal_master topsman@shop KILL
    check "a dead master that waits for its restart" \
        eventually 20 property_is topsman@shop SubState auto-restart
    check "leaves workers that serve on" says '^web/' get localhost
    inside systemctl stop topsman@shop
    check "stopped then, no process is left" eventually 20 refused inside pgrep -u topsman
    inside systemctl stop topsman-workers@shop
    check "and no segment" [ -z "$(inside ls /dev/shm)" ]
    check "and that is a success" property_is topsman-workers@shop Result success
    inside systemctl start topsman@shop
    signal_master topsman@shop KILL
    eventually 20 property_is topsman@shop SubState auto-restart >/dev/null
    local old
    old=$(status shop "$kPIDS")
    inside systemctl restart topsman@shop
    check "restarted then, the workers go on" status_is shop "$kPIDS" "$old"
    rm "$machine/etc/systemd/system/topsman@shop.service.d/slow.conf"
    inside systemctl daemon-reload
    inside systemctl restart topsman@shop
}

it_stops() {
    inside systemctl stop topsman@shop
    check "a stop is a success" property_is topsman@shop Result success
    check "no process is left" refused inside pgrep -u topsman
    check "no segment is left" [ -z "$(inside ls /dev/shm)" ]
    check "nothing but the lock is left in the runtime directory" \
        [ "$(inside ls /run/topsman)" = shop.lock ]
    inside systemctl start topsman@shop
    check "topsman stop stops it" inside topsman stop -n shop
    check "for good" eventually 20 property_is topsman@shop ActiveState inactive
    check "and that is a success, too" property_is topsman@shop Result success
}

# ---- others ---------------------------------------------------------------------------------

a_wrong_file_is_not_retried() {
    write wrong <<<'pools: { web: { command: nonsense } }'
    check "a wrong file does not start" refused inside systemctl start topsman@wrong
    check "with exit code 78" property_is topsman@wrong ExecMainStatus 78
    check "and is not tried again" property_is topsman@wrong NRestarts 0
    check "and the journal names the place" \
        says 'wrong.yaml:1:[0-9]+: pools.web.command' inside journalctl -u topsman@wrong -o cat
}

the_example_serves() {
    cp "$machine/usr/share/doc/topsman/examples/quickstart.yaml" "$machine/etc/topsman/quick.yaml"
    check "the installed example starts as it is" inside systemctl start topsman@quick
    check "and serves" says '^web/' get localhost:8080
    inside systemctl stop topsman@quick
}

a_pool_is_never_ready() {
    write half <<'YAML'
pools:
  good: { command: [sleep, infinity], ready: { by: none, min_uptime: 10ms } }
  mute: { command: [sleep, infinity], ready: { by: notify, timeout: 1s } }
YAML
    check "a pool that never gets ready holds the start up no longer than its deadline" \
        inside systemctl start topsman@half
    check "and the status line names it" says 'mute' property topsman@half StatusText
    inside systemctl stop topsman@half
}

other_languages() {
    write any <<'YAML'
listeners:
  node: { address: "127.0.0.1:8001" }
  python: { address: "127.0.0.1:8002" }
pools:
  node: { command: [node, /srv/server.js], listeners: [node], workers: 2 }
  python:
    command: [python3, /srv/server.py]
    listeners: [python]
    workers: 2
    ready: { by: notify }
    watchdog: { timeout: 10s }
YAML
    check "node and python run in the sandbox" inside systemctl start topsman@any
    check "and are ready" eventually 20 status_is any "$kREADY" 4
    check "node answers" says '^node' get localhost:8001
    check "python answers" says '^python' get localhost:8002
}

pools_with_their_own_users() {
    drop_in users own-users.conf <"$machine/usr/share/doc/topsman/examples/own-users.conf"
    write users <<'YAML'
listeners:
  http: { address: "127.0.0.1:81" }
pools:
  web: { command: [topsman-http], listeners: [http], user: www-data, ready: { by: notify } }
  ticker: { command: [sleep, infinity], user: nobody }
YAML
    check "pools with a user of their own start" inside systemctl start topsman@users
    check "and serve" says '^web/0' get localhost:81
    check "as who they should be" says '^nobody +www-data$' \
        inside sh -c "ps -o user= -p $(status users "$kPIDS" | tr ' ' ,) | sort | xargs"
    check "the sandbox of a root master scores 3.0 or better" \
        inside systemd-analyze security --no-pager --threshold=30 topsman@users
    drop_in users slow.conf <<<$'[Service]\nRestartSec=1h'
    inside systemctl restart topsman@users
    signal_master topsman@users KILL
    check "their dead master waits for its restart" \
        eventually 20 property_is topsman@users SubState auto-restart
    check "while they serve" says '^web/0' get localhost:81
    inside systemctl stop topsman@users topsman-workers@users
    check "stopped then, nobody of theirs is left" refused inside pgrep -u www-data,nobody
    check "nor anything of the cluster's but its lock" \
        [ "$(inside sh -c 'ls -d /run/topsman/users*')" = /run/topsman/users.lock ]
    inside systemctl start topsman@users
    inside systemctl stop topsman@users
    check "its stop is a success" property_is topsman@users Result success
    check "and leaves the other clusters alone" status_is any "$kREADY" 4
    inside systemctl restart topsman@any
    check "who still can use the directory" eventually 20 status_is any "$kREADY" 4
    inside systemctl stop topsman@any
}

systemd_keeps_the_port() {
    cp "$machine/usr/share/doc/topsman/examples/topsman@shop.socket" "$machine/etc/systemd/system/"
    inside systemctl daemon-reload
    check "the socket unit binds the port" inside systemctl start topsman@shop.socket
    check "the first connection starts the cluster" says '^web/' get localhost
    inside systemctl stop topsman@shop
    check "a connection made while it is stopped is answered by the next" says '^web/' get localhost
    inside systemctl stop topsman@shop.socket topsman@shop
}

the_port_is_taken() {
    inside systemctl start topsman@shop
    sed 's/workers: .*/workers: 1/' "$machine/etc/topsman/shop.yaml" | write second
    inside systemctl start --no-block topsman@second
    check "a cluster whose port is taken is tried again" \
        eventually 30 refused property_is topsman@second NRestarts 0
    say "restarts so far: $(property topsman@second NRestarts)"
    inside systemctl stop topsman@second topsman@shop
}

it_starts_and_serves
the_unit_is_sound
it_reloads
a_worker_dies
it_is_upgraded
the_master_dies
it_dies_again_and_again
everybody_dies_at_once
the_master_hangs
it_stops_without_a_master
it_stops
a_wrong_file_is_not_retried
the_example_serves
a_pool_is_never_ready
other_languages
pools_with_their_own_users
systemd_keeps_the_port
the_port_is_taken

if [ $failures != 0 ]; then
    inside journalctl --no-pager -o short-monotonic -u 'topsman@*' -u 'topsman-workers@*' | tail -n 150
    say "$failures failed"
    exit 1
fi
say "all passed"
