# shellcheck shell=bash
# A machine with a real systemd as PID 1, for tests to source: make_machine, boot, inside, power_off.
# The tree of packages is made once and kept in CACHE; each run gets a throw-away layer over it.

CACHE=${TOPSMAN_TEST_CACHE:-/var/tmp/topsman-tests}
machine=           # the running one's tree
leader=            # its PID 1, as seen from here
nspawn=
work=

skip() {
    echo "skipped: $*"
    exit 77
}

# What must be there; without it the test is skipped, not failed.
require_container() {
    [ "$(id -u)" = 0 ] || skip "booting a systemd needs root"
    local tool
    for tool in systemd-nspawn debootstrap nsenter unshare; do
        command -v "$tool" >/dev/null || skip "$tool is not installed (systemd-container, debootstrap)"
    done
    unshare -m true 2>/dev/null || skip "this root may not make mount namespaces"
}

# The mirror this machine takes its own packages from.
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' |
        grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' '
}

# base_tree SUITE PACKAGE...: prints the path of a tree with these packages, made when missing.
base_tree() {
    local suite=$1 packages base
    shift
    packages=$(IFS=,; echo "$*")
    base=$CACHE/$suite-$(cksum <<<"$packages" | cut -d ' ' -f 1)
    mkdir -p "$CACHE"
    (
        flock 9
        [ -e "$base.complete" ] && exit
        rm -rf "$base"
        debootstrap --variant=minbase --include="$packages" "$suite" "$base" "$(mirror)" \
            >"$base.log" 2>&1 || { tail -n 20 "$base.log" >&2; exit 1; }
        rm -rf "$base"/var/cache/apt/archives/*.deb
        touch "$base.complete"
    ) 9>"$base.lock" || return 1
    echo "$base"
}

# make_machine BASE: a layer over BASE into which the test may write, in $machine.
make_machine() {
    work=$(mktemp -d "$CACHE/run.XXXXXX")
    mkdir "$work"/{upper,work,root}
    trap 'power_off; exit' EXIT INT TERM
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$work/upper,workdir=$work/work" "$work/root" ||
        skip "overlayfs cannot be mounted here"
    machine=$work/root
}

# eventually SECONDS COMMAND...: until it succeeds. systemd has no one event for all that is awaited.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        read -r -t 0.05 <><(:) || true
    done
}

is_booting() {
    leader=$(pgrep -P "$nspawn" | tail -n 1)
    [ -n "$leader" ] && [ -S "/proc/$leader/root/run/systemd/private" ]
}

# A mount namespace in which /sys/fs/cgroup is cgroup2, whatever the host uses: as on a Debian. And
# pidfd_getfd, which systemd-nspawn takes from whatever it boots, is there as on a machine.
boot() {
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare -m --propagation private -- sh -c \
        'umount -R -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh \
        systemd-nspawn -q -D "$machine" -M "topsman-test-$$" --boot --private-network \
        --register=no --keep-unit --link-journal=no --console=pipe \
        --system-call-filter=pidfd_getfd \
        systemd.unit=multi-user.target </dev/null >"$work/console.log" 2>&1 &
    nspawn=$!
    eventually 60 is_booting || { cat "$work/console.log"; skip "systemd does not boot here"; }
    inside systemctl is-system-running --wait >/dev/null || inside systemctl --failed --no-legend
}

inside() {
    nsenter -t "$leader" -m -u -i -n -p -C -r -w \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0 "$@"
}

power_off() {
    local status=$?
    if [ -n "$leader" ]; then
        kill -s RTMIN+4 "$leader" 2>/dev/null
        eventually 30 [ ! -e "/proc/$leader" ] || kill -KILL "$leader"
        wait "$nspawn" 2>/dev/null
        leader=
    fi
    if [ -n "$work" ]; then
        umount "$work/root" 2>/dev/null
        rm -rf "$work"
        work=
    fi
    # On a host without systemd, nspawn leaves its empty control groups.
    find /sys/fs/cgroup -maxdepth 2 \( -name payload -o -name supervisor \) -type d 2>/dev/null |
        while read -r group; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; done
    return "$status"
}
