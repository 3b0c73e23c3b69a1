# define CAUSE MODE: a container CAUSE-MODE that cannot start until what is missing in /srv/data is there; its port is in $at, its name in $names.
declare -A at
names=() port=8100
define() {
    local name=$1-$2 image=here file=mended where=8080 how='"exit", "0"' more=''
    [ "$2" != accept ] || where=-
    case $1 in
    exit1) how='"exit", "1"' ;;
    exit0) [ "$2" != inherit ] || more='Notify = "yes"' ;; # There it is ready as soon as it runs.
    idle) more=$(printf 'Notify = "yes"\nIdleTimeout = "1min"') ;;
    leaves) how='"leave", "0"' ;;
    leaves-killed) how='"leave-by", "15"' ;;
    leaves-success) how='"leave", "3"' more=$(printf '[Service]\nSuccessExitStatus = 3') ;;
    killed) how='"signal", "9"' ;;
    terminated) how='"signal", "15"' ;;
    timeout) how='"sleep"' more=$(printf 'Notify = "yes"\n[Service]\nTimeoutStartSec = 3') ;;
    requires) file=made-$name more=$(printf '[Unit]\nRequires = "needed@%s.service"' "$name") ;;
    program) more='Entrypoint = "/data/program"' ;;
    image) image=late ;;
    condition) more=$(printf '[Unit]\nConditionPathExists = "/srv/data/mended"\nAssertPathIsSymbolicLink = "!/srv/data/%%n.broken"') ;;
    esac
    at[$name]=$((port += 1))
    names+=("$name")
    printf '[Container]\nImage = "localhost/%s"\nPublishPort = "%s:8080"\nActivation = "%s"\nVolume = "/srv/data:/data"\nExec = ["unless", "/data/%s", "%s", %s]\n%s\n' \
        $image $port "$2" "$file" $where "$how" "$more" >"/etc/coracle/$name.toml"
}

# import NAME: an image of the tests' own program.
import() {
    mkdir -p /tmp/root/etc && cp /opt/test/payload /tmp/root/
    coracle image import --name "localhost/$1" --change 'ENTRYPOINT ["/payload"]' /tmp/root >/dev/null
}
