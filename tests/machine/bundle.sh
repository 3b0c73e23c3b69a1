# Bundles for coracle-oci, whose root has the machine's own programs. Read by the cases `oci…`.
PATH=$PATH:/usr/libexec/coracle
root=/srv/bundle/rootfs
mkdir -p "$root"/{usr,proc,sys,dev,etc,tmp,run} && cd /srv/bundle
for name in bin lib lib64 sbin; do ln -sfn usr/$name "$root/$name"; done

quote() { local text=${1//\\/\\\\} && printf '"%s"' "${text//\"/\\\"}"; }
NAMES='"pid", "network", "ipc", "uts", "mount", "cgroup"'
CAPS='"CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"'

# bundle COMMAND [PROCESS [MOUNTS [LINUX [TOP]]]]: a config.json; each further text is put into that part of it.
bundle() {
    local spaces && spaces=$(sed 's/"[a-z]*"/{"type": &}/g' <<<"$NAMES")
    cat >config.json <<EOF
{"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "hostname": "boat",
"process": {"args": ["sh", "-c", $(quote "$1")], "env": ["PATH=/usr/bin:/bin"], "cwd": "${DIRECTORY:-/}", "user": ${IDENTITY:-{\}},
  "noNewPrivileges": ${NO_NEW:-true}, "capabilities": {"bounding": [$CAPS], "effective": [$CAPS], "permitted": [$CAPS]} ${2:-}},
"mounts": [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
  {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]} ${3:-}],
"linux": {"namespaces": [$spaces], "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"], "readonlyPaths": ["/proc/sys"] ${4:-}} ${5:-}}
EOF
}

# run [NAME]: runs the bundle to its end.
run() { coracle-oci run "${1:-one}"; }

# said TEXT...: what a command that must fail says.
refused() {
    local said && said=$("${@:2}" 2>&1) && fail "it was not refused: ${*:2}"
    has "$said" "$1"
}

status() { coracle-oci state "$1" | sed -n 's/.*"status": "\(.*\)".*/\1/p'; }
ended() { local status=$?; [ $status = "$1" ] || fail "it ended with $status, not $1"; }
gone() { [ ! -e /run/coracle/oci ] && [ -z "$(find /sys/fs/cgroup -name "${1:-one}")" ]; }

same() { [ "$1" = "$2" ] || fail "'$1', not '$2'"; }
must() { "$@" || fail "$*"; }
# inside SEEN COMMAND [PART]...: what the command says in a bundle with these parts.
inside() { same "$(bundle "${@:2}" && run 2>&1)" "$1"; }
# field NAME: one of the state of the container 'one'.
field() { coracle-oci state one | sed -n "s/^  \"$1\": \"\?\([^\",]*\).*/\1/p"; }
# rights NAMES: a bundle that shows its five sets, which have these capabilities, and who it is.
rights() {
    NO_NEW=false bundle 'sed -n "s/^Cap...:.0*//p" /proc/self/status | paste -sd" "; id -u; id -G; umask' && sed -i "s/\"capabilities\": {[^}]*}/\"capabilities\": {}/" config.json
    local set && for set in permitted effective inheritable ambient bounding; do sed -i "s/\"capabilities\": {/&\"$set\": [$1], /" config.json; done
    sed -i 's/, }/}/' config.json
}
