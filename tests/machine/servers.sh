#!/bin/bash
# What the cases `servers-*` share: each takes real servers out of the fleet's images, one after the other. Read by their scripts.
#
# A server is started three times behind its socket, by a client's connection, by another one after a stop, and by `systemctl restart`
# while clients come; before that once without any socket, to see what it binds when left to itself. What was seen is printed as a row
# of the table in README.md, and tests/system.rs compares it with what stands there.

layer=$(echo /var/lib/coracle/layers/*/)

# Beside each definition one without its sockets.
mkdir -p /run/coracle
for definition in /etc/coracle/*.toml; do
    awk '/^\[/ { skips = /^\[Socket/ } !skips && !/^(PublishPort|Activation|Notify) /' "$definition" >"/run/coracle/bare-${definition##*/}"
done
systemctl daemon-reload

# Requests: each gets an address first, which is a path for Unix sockets.
url() { [[ $1 == *:* ]] && echo "[$1]" || echo "$1"; }
http() { get --max-time 60 "http://$(url "$1"):$2${3:-/}"; }
# say ADDRESS PORT TEXT: what the server says until it has nothing more to say for a moment, or closes.
say() {
    local connection line
    exec {connection}<>"/dev/tcp/$1/$2" || return 1
    [ -z "${3:-}" ] || printf '%b' "$3" >&"$connection"
    while read -r -t 30 -d "${until:-$'\n'}" -u "$connection" line; do
        echo "$line"
        [[ $line != *"$word"* ]] || break
    done
    exec {connection}>&-
}
# client COMMAND...: a program of the fleet, on the machine's network.
client() { timeout 20 coracle run --network host localhost/clients "$@"; }

# version OF: what the image has of `Debian:PACKAGE`, `PyPI:PACKAGE`, `npm:PACKAGE` or `crates.io:PACKAGE`: its first two numbers.
version() {
    local package=${1#*:} found
    case $1 in
    Debian:*) found=$(dpkg-query --admindir="$layer/var/lib/dpkg" -W -f '${source:Upstream-Version}' "$package") ;;
    PyPI:*) found=$(cd "$layer"/usr/local/lib/python3*/dist-packages && echo "$package"-*.dist-info) && found=${found#"$package-"} ;;
    npm:*) found=$(sed -n 's/^  "version": "\(.*\)",/\1/p' "$layer/usr/local/lib/node_modules/$package/package.json") ;;
    crates.io:*) found=$(grep -A 1 "name = \"$package\"" "$layer/usr/local/share/fleet/Cargo.lock" | sed -n 's/version = "\(.*\)"/\1/p') ;;
    esac
    [[ $found =~ ^[0-9]+(\.[0-9]+)? ]] || fail "no version of $1: '$found'"
    echo "${BASH_REMATCH[0]}"
}

# bound PID: what is listened on in its network namespace, by port; `*` is a socket for both families. Ports that the kernel chose are left out.
bound() {
    nsenter -t "$1" -n ss -Hltun | awk '{
        port = address = $5; sub(/.*:/, "", port); sub(/:[^:]*$/, "", address)
        if (port + 0 < 32768) print port, address, address ":" port ($1 == "udp" ? "/udp" : "")
    }' | sort -u -k1,1n -k2,2 -k3,3 | awk '{ print $3 }'
    nsenter -t "$1" -n ss -Hlx | awk '{ print $5 }' | grep -Fx -- "${path:-/}" || true
}

# alone NAME PORT...: starts it without sockets, and prints what it binds as soon as these ports are among that.
alone() {
    local name=$1 now='' before port deadline=$((SECONDS + 30)) && shift
    systemctl start "bare-$name.service"
    until [ -n "$now" ] && [ "$now" = "$before" ]; do
        sleep 0.4
        before=$now now=$(bound "$(property "bare-$name.service" MainPID)" 2>/dev/null) || true
        for port in "$@"; do grep -q -e ":$port\$" -e ":$port/udp\$" -e "^$port\$" <<<"$now" || before=missing; done
        [ $SECONDS -lt $deadline ] || fail "$name left to itself does not bind $*, but: $now"
    done
    systemctl stop "bare-$name.service"
    tr '\n' ' ' <<<"$now" | sed 's/ $//; s/ /, /g'
}

# ask ADDRESS: one request of `$request`, whose answer has `$word` in it.
ask() {
    answer=$("${request[0]}" "$1" "${request[@]:1}" 2>&1) || true
    [[ $answer == *"$word"* ]]
}

# arrive ADDRESS: a client in the middle of a restart. What the server itself broke off it asks again; nothing is refused, but for a
# server with `$refuses`.
arrive() {
    local tries=20
    ask "$1" && return
    [[ $answer != *refused* || -n ${refuses:-} ]] || fail "$name, restarting: '$answer' over $1"
    until ask "$1"; do
        [ $((tries -= 1)) -gt 0 ] || fail "$name, restarting: '$answer' over $1, again and again"
        sleep 0.2
    done
}

# ports DEFINITION: the container's ports that it publishes.
ports() { sed -n 's/^PublishPort = //p' "$1" | { grep -Eo '[0-9]+(/udp)?"' || true; } | sed 's/[/"].*//' | sort -u; }

# row WHAT: the server's row of the table.
row() {
    local activation number && number=$(version "$from")
    activation=$(sed -n 's/^Activation = "\(.*\)"/\1/p' "$definition")
    activation=${activation:-intercept}
    ! grep -q '^Notify = "started"' "$definition" || activation+=', `Notify = "started"`'
    ! grep -q '^BindIPv6Only = "ipv6-only"' "$definition" || activation+=', a socket for each family'
    echo "row: | $name | $number | $language | ${from%%:*} | $binds | $activation | $1 |"
}

# ended_well: it has; a server that now and then ends with `$fault` among its last words is not taken at them.
ended_well() {
    if [ -n "${fault:-}" ] && [ "$(property "$name.service" Result)" != success ]; then
        journalctl -b -o cat -u "$name.service" | tail -n 40 | grep -F "$fault" && systemctl reset-failed "$name.service"
    fi
    is "$name.service" Result success
}

# serve NAME LANGUAGE REGISTRY:PACKAGE WORD REQUEST...: see above. What else there is to say of it is in `$note`.
serve() {
    local name=$1 language=$2 from=$3 word=$4 request=("${@:5}")
    local definition=/etc/coracle/$name.toml answer='' path='' ports=() addresses=() over=() order=() clients=()
    local binds listen run address turn client main
    mapfile -t ports < <(ports "$definition")
    path=$(sed -n 's/^ContainerListen = "\(.*\)"/\1/p' "$definition")
    [ -z "$path" ] || ports=("$path")
    binds=$(alone "$name" "${ports[@]}")

    systemctl start "$name.socket"
    listen=$(systemctl show -p Listen "$name.socket")
    [[ $listen != *=/* ]] || { addresses=("$(sed -n 's/^Listen=\(.*\) (.*/\1/p' <<<"$listen")") && over=('a Unix socket'); }
    [[ $listen != *0.0.0.0:* ]] || { addresses=(127.0.0.1) && over=('IPv4'); }
    [[ $listen != *\[::*\]:* ]] || { addresses=(127.0.0.1 ::1) && over=('IPv4 and IPv6'); }
    order=("${addresses[@]}")
    for run in first second; do
        is "$name.service" ActiveState inactive
        for address in "${order[@]}"; do ask "$address" || fail "the $run start of $name: '$answer' over $address"; done
        becomes "$name.service" ActiveState active
        [ $run = second ] || { systemctl stop "$name.service" && ended_well; }
        order=("${addresses[-1]}" "${addresses[0]}")
    done

    main=$(property "$name.service" MainPID)
    for turn in 0 1 2 3 4 5; do
        [ $turn != 2 ] || systemctl restart --no-block "$name.service"
        arrive "${addresses[turn % ${#addresses[@]}]}" &
        clients+=($!)
        sleep 0.05
    done
    for client in "${clients[@]}"; do wait "$client"; done
    becomes "$name.service" ActiveState active 30
    [ "$(property "$name.service" MainPID)" != "$main" ] || fail "$name was not restarted"
    is "$name.service" NRestarts 0
    for address in "${addresses[@]}"; do ask "$address" || fail "$name, restarted: '$answer' over $address"; done
    systemctl stop "$name.socket" "$name.service"
    ended_well

    row "serves ${over[*]}${note:+; $note}"
}

# fails NAME LANGUAGE REGISTRY:PACKAGE WORD REQUEST...: a server that is not answered for there. Why is in `$note`.
fails() {
    local name=$1 language=$2 from=$3 word=$4 request=("${@:5}") definition=/etc/coracle/$1.toml answer='' path='' ports=() binds
    mapfile -t ports < <(ports "$definition")
    binds=$(alone "$name" "${ports[@]}")
    systemctl start "$name.socket"
    ! ask 127.0.0.1 || fail "$name works: say so"
    becomes "$name.service" ActiveState active
    systemctl stop "$name.socket" "$name.service"
    row "fails: $note"
}
