# What the cases without root have in common: a user, anna, with subordinate identities and a service manager of her own. Her home lies
# on a file system that overlayfs can have its layers on.
home=/srv/home/anna
useradd --no-create-home --home-dir $home --uid 1000 --shell /bin/sh anna
mkdir -p $home
chown -R anna:anna $home
loginctl enable-linger anna
wait_for 10 test -S /run/user/1000/bus
slice=/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/coracle.slice
store=$home/.local/share/coracle

# anna COMMAND...: runs it as her, with her manager at hand. As one who has logged in she has the one capability that pam_systemd(8) gives.
anna() {
    setpriv --reuid anna --regid anna --init-groups --inh-caps +wake_alarm --ambient-caps +wake_alarm env -C $home HOME=$home USER=anna XDG_RUNTIME_DIR=/run/user/1000 \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}
hers() { anna systemctl --user "$@"; }
main_of() { hers show --value -p MainPID "$1"; }
# seen NAME: what the journal has of one of her units; who has ended by the time that it looks is known to it by name alone.
seen() { journalctl -b -o cat "_SYSTEMD_USER_UNIT=$1.service" + "USER_UNIT=$1.service" + "SYSLOG_IDENTIFIER=$1"; }

# says NAME WORD: waits for a word in the journal of one of her units.
says() { wait_for 5 has_said "$1" "$2"; }
has_said() { seen "$1" | grep -F -- "$2"; }

# anna_imports IMAGE CHANGE...: brings one of the system's images into her store, by way of an archive.
anna_imports() {
    local image=$1 layer changes=() && shift
    for change in "$@"; do changes+=(--change "$change"); done
    layer=$(coracle image inspect "localhost/$image" | sed -n 's/.*"path": "\(.*\)".*/\1/p')
    tar -C "$layer" -c . | anna coracle image import - --name "localhost/$image" "${changes[@]}"
}

# nothing_of_hers: stops her containers and looks for anything that they should have taken away.
nothing_of_hers() {
    local what
    hers stop '*.socket' 2>/dev/null || true
    hers start dbus.socket
    hers stop coracle.slice 2>/dev/null || true
    # One empty file stays, whose bytes her containers lock.
    what=$(find $store/containers /run/user/1000/coracle -mindepth 1 ! -path /run/user/1000/coracle/.marks 2>/dev/null) || true
    [ -z "$what" ] || fail "files of hers are left: $what"
    what=$(find $slice -mindepth 1 -type d 2>/dev/null) || true
    [ -z "$what" ] || fail "control groups of hers are left: $what"
    what=$(find $store/staging -mindepth 1) || true
    [ -z "$what" ] || fail "an import of hers is left: $what"
}
