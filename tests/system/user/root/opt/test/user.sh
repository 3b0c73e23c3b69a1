# What the cases without root have in common: a user, anna, with subordinate identities and a service manager of her own. Her home lies
# on a file system that overlayfs can have its layers on.
home=/srv/home/anna
useradd --no-create-home --home-dir $home --uid 1000 --shell /bin/sh anna
mkdir -p $home
chown -R anna:anna $home
loginctl enable-linger anna
wait_for 10 test -S /run/user/1000/bus

# anna COMMAND...: runs it as her, with her manager at hand.
anna() {
    setpriv --reuid anna --regid anna --init-groups env -C $home HOME=$home USER=anna XDG_RUNTIME_DIR=/run/user/1000 \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}

# anna_imports IMAGE CHANGE...: brings one of the system's images into her store, by way of an archive.
anna_imports() {
    local image=$1 layer changes=() && shift
    for change in "$@"; do changes+=(--change "$change"); done
    layer=$(coracle image inspect "localhost/$image" | sed -n 's/.*"path": "\(.*\)".*/\1/p')
    tar -C "$layer" -c . | anna coracle image import - --name "localhost/$image" "${changes[@]}"
}
