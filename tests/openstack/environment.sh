# Sourced by install, start and stop. Everything below one directory, on loopback only.
#
#   STACK_E2E_OPENSTACK   the directory (~/.cache/stack-e2e/openstack): packages, a template of the databases, the services at work
# shellcheck shell=bash disable=SC2034
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=${STACK_E2E_OPENSTACK:-${XDG_CACHE_HOME:-$HOME/.cache}/stack-e2e/openstack}
venv=$base/venv
template=$base/template
state=$base/run
etc=$state/etc
host=127.0.0.1
# Outside the range from which Linux takes the ports of outgoing connections.
db_port=23306 memcached_port=21211 mq_port=25671 mq_cluster_port=25673 epmd_port=24369
keystone=25000 nova=28774 placement=28778 neutron=29696 glance=29292 cinder=28776 octavia=29876
export PATH=$venv/bin:/usr/sbin:$PATH PYTHONPATH=$here/binding PYTHONWARNINGS=ignore PYTHONDONTWRITEBYTECODE=1
# The services run as plain threads under uwsgi.
export OS_NOVA_DISABLE_EVENTLET_PATCHING=true
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

say() { printf '%s\n' "$*"; }
fail() {
    say "error: $1" >&2
    [[ -z ${2-} ]] || say "hint: $2" >&2
    exit 1
}

sql() { mariadb --no-defaults -uroot -S "$state/db.sock" "$@"; }

# spawn NAME COMMAND...: a process group of its own, with one file for its id and one for what it says.
spawn() {
    local name=$1 pid=$state/pid/$1
    shift
    if [[ -f $pid ]] && kill -0 "$(<"$pid")" 2>/dev/null; then return; fi
    (cd "$state" && exec setsid nice "$@" >"$state/log/$name.log" 2>&1 </dev/null) &
    printf '%s\n' "$!" >"$pid"
}

# await WHAT SECONDS COMMAND...
await() {
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "$what does not answer" "its log is in $state/log"
        sleep 0.2
    done
}

start_database() {
    spawn mariadb mariadbd --no-defaults --user="$(id -un)" --datadir="$state/db" --bind-address=$host --port=$db_port \
        --socket="$state/db.sock" --pid-file="$state/db.pid" --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 \
        --innodb-flush-method=nosync --innodb-doublewrite=0 --skip-log-bin --max-connections=400 --performance-schema=0 \
        --skip-name-resolve
    spawn memcached memcached -u "$(id -un)" -l $host -p $memcached_port -m 16 -t 1
    await "the database" 60 sql -e 'select 1'
}

start_queue() {
    spawn rabbitmq env HOME="$state/mq" RABBITMQ_NODENAME=stack-e2e@localhost RABBITMQ_NODE_IP_ADDRESS=$host \
        RABBITMQ_NODE_PORT=$mq_port RABBITMQ_DIST_PORT=$mq_cluster_port ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=$host \
        RABBITMQ_MNESIA_BASE="$state/mq/mnesia" RABBITMQ_LOGS=- RABBITMQ_CONFIG_FILE="$etc/rabbitmq" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$etc/enabled_plugins" RABBITMQ_CONF_ENV_FILE=/dev/null \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}' \
        /usr/lib/rabbitmq/bin/rabbitmq-server
}

queue_answers() {
    local answer
    exec 3<>"/dev/tcp/$host/$mq_port" && printf 'AMQP\0\0\11\1' >&3 && read -r -t 2 -N 1 -u 3 answer
}

# api NAME PORT MODULE [VARIABLE=VALUE...] [-- ARGUMENTS OF THE SERVICE]
api() {
    local name=$1 port=$2 module=$3 variables=() more=()
    shift 3
    while (($#)) && [[ $1 != -- ]]; do
        variables+=("$1")
        shift
    done
    shift || true
    (($# == 0)) || more=(--pyargv "$*")
    # Glance takes images in chunks.
    [[ $name != glance ]] || more+=(--http-auto-chunked --http-chunked-input)
    spawn "$name" env "${variables[@]}" pyuwsgi --master --die-on-term --processes 1 --threads 4 --enable-threads --lazy-apps \
        --need-app --http-socket "$host:$port" --buffer-size 65535 --add-header 'Connection: close' --disable-logging \
        --virtualenv "$venv" --module "$module" "${more[@]}"
}

answers() { [[ $(curl -s -o /dev/null -m 20 -w '%{http_code}' "$1") == [23]00 ]]; }
