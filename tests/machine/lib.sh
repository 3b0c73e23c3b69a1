#!/bin/bash
# What the scripts of tests/system have at hand. Runs inside the machine: reads /opt/test/script in a shell where any
# failing command ends the test, then checks that Coracle has left nothing behind; on failure shows the journal.
# A pipe fails with any of its commands, so none of them may stop reading early: no grep -q behind a pipe.
# What fails in the middle of a list of && ends nothing: what must hold stands by itself, behind a semicolon or in a line of its own.
set -Eeuo pipefail

fail() { echo "FAILED: $*" >&2; exit 1; }

# wait_for SECONDS COMMAND...: tries until the command holds.
wait_for() {
    local deadline=$(($(date +%s%N) + $1 * 1000000000)) && shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s%N)" -lt $deadline ] || fail "did not come true: $*"
        sleep 0.05
    done
}

# property UNIT NAME: one property as systemctl shows it.
property() { systemctl show --value -p "$2" "$1"; }

# is UNIT NAME VALUE: asserts a property.
is() {
    local now && now=$(property "$1" "$2")
    [ "$now" = "$3" ] || fail "$2 of $1 is '$now', not '$3'"
}

# becomes UNIT NAME VALUE [SECONDS]: waits for a property.
becomes() {
    local deadline=$((SECONDS + ${4:-10}))
    until [ "$(property "$1" "$2")" = "$3" ]; do
        [ $SECONDS -lt $deadline ] || fail "$2 of $1 stayed '$(property "$1" "$2")', not '$3'"
        sleep 0.05
    done
}

# get URL [CURL OPTIONS]: the body, within ten seconds.
get() { curl -gsS --max-time 10 "$@"; }

# has TEXT WORD...: asserts that the text contains each of the words.
has() {
    local text=$1 word && shift
    for word in "$@"; do
        [[ $text == *"$word"* ]] || fail "'$word' is not in: $text"
    done
}

# logged UNIT WORD: waits for a word in a unit's journal.
logged() { wait_for 5 eval "journalctl -b -o cat -u '$1' | grep -F -- '$2'" || fail "'$2' is not in the journal of $1"; }

# milliseconds COMMAND...: how long it takes.
milliseconds() {
    local start && start=$(date +%s%N)
    "$@" >/dev/null
    echo $((($(date +%s%N) - start) / 1000000))
}

# activate NAME...: reads the definitions again and starts the sockets.
activate() {
    systemctl daemon-reload
    local name
    for name in "$@"; do systemctl start "$name.socket"; done
}

# range_locks: the locks on ranges of identities, as proc_locks(5) has them.
range_locks() {
    local major minor file
    IFS=: read -r major minor < <(mountpoint -d /run)
    [ -e /run/coracle/.identities ] || return 0
    file=$(printf '%02x:%02x:%d' "$major" "$minor" "$(stat -c %i /run/coracle/.identities)")
    grep -F " $file " /proc/locks
}

# nothing_left: stops what is Coracle's and looks for anything that it should have taken away.
nothing_left() {
    local units what
    mapfile -t units < <(systemctl show -p Id -p SourcePath '*.socket' '*.service' |
        awk -F= '$1 == "Id" { id = $2 } $1 == "SourcePath" { source = $2 } $0 == "" { report() } END { report() }
            function report() { if (source ~ /coracle/) print id; id = source = "" }' | sort -r)
    [ ${#units[@]} = 0 ] || systemctl stop "${units[@]}" 2>/dev/null || true
    # Two empty files stay: locks on ranges of identities and on addresses are on their bytes, and are gone with who had them. A note of
    # clients who have waited too long stays for a minute, where nothing was tried again.
    what=$(find /var/lib/coracle/containers /run/coracle -mindepth 1 ! -path '*.toml*' ! -path '*.container' ! -path '/run/coracle/+*' \
        ! -path /run/coracle/.identities ! -path /run/coracle/.networks 2>/dev/null) || true
    [ -z "$what" ] || fail "files are left: $what"
    what=$(grep -E '/var/lib/coracle/(containers|layers)/|/run/coracle/' /proc/self/mounts) || true
    [ -z "$what" ] || fail "mounts are left: $what"
    what=$(find /sys/fs/cgroup/coracle.slice -mindepth 1 -type d 2>/dev/null) || true
    [ -z "$what" ] || fail "control groups are left: $what"
    what=$(pgrep -a coracle) || true
    [ -z "$what" ] || fail "processes are left: $what"
    what=$(range_locks) || true
    [ -z "$what" ] || fail "ranges of identities are locked: $what"
    what=$(lsns -n -t user -o PID,COMMAND | awk '$1 != 1') || true
    [ -z "$what" ] || fail "user namespaces are left: $what"
    what=$(lsns -n -t pid -o PID,COMMAND | awk '$1 != 1') || true
    [ -z "$what" ] || fail "PID namespaces are left: $what"
}

finish() {
    local status=$?
    trap - EXIT ERR
    [ $status != 0 ] || return 0
    echo "--- units" && systemctl list-units --no-pager --no-legend --plain '*.socket' '*.service' | grep -v systemd-
    echo "--- journal" && journalctl --since "@$began" --no-pager -o short-precise | grep -v " systemd-[a-z]*\[" | tail -n 80
    exit $status
} >&2
# Addresses for servers (.1) and clients (.7) that are not the loopback's.
for address in 192.0.2.1/32 192.0.2.7/32 2001:db8::1/128 2001:db8::7/128; do
    ip address replace "$address" dev lo
done

began=$(date +%s)
trap finish EXIT
trap 'echo "FAILED in line $LINENO: $BASH_COMMAND" >&2' ERR

. /opt/test/script
# A case of tests/vm that goes on after the next boot keeps what it has.
[ -n "${CORACLE_GOES_ON:-}" ] || nothing_left
