# Sourced by install and start: writes the configuration of every service. May be repeated.
# shellcheck shell=bash
mkdir -p "$etc" "$state"/{pid,log,lock,mq,nova,neutron,octavia} "$state"/keystone/{tokens,credentials} \
    "$state"/glance/{images,staging,tasks} "$state"/cinder/coordination

database() { say "connection = mysql+pymysql://root@localhost/$1?unix_socket=$state/db.sock&charset=utf8mb4"; say "max_pool_size = 5"; }
service_user() {
    cat <<END
auth_url = http://$host:$keystone/v3
auth_type = password
username = service
password = service-password
user_domain_name = Default
project_domain_name = Default
project_name = service
region_name = RegionOne
END
}
token_check() {
    say "[keystone_authtoken]"
    service_user
    say "www_authenticate_uri = http://$host:$keystone/v3"
    say "service_token_roles = service"
    say "service_token_roles_required = true"
}
# Sections that all services have; the first lines go on in [DEFAULT].
common() {
    [[ -z ${2-} ]] || say "transport_url = $2"
    say "[oslo_messaging_notifications]"
    say "driver = noop"
    say "[oslo_messaging_rabbit]"
    say "heartbeat_in_pthread = false"
    say "rabbit_quorum_queue = false"
    say "[oslo_concurrency]"
    say "lock_path = $state/lock"
    say "[database]"
    database "$1"
    token_check
}
queue=rabbit://guest:guest@$host:$mq_port/

cat >"$etc/rabbitmq.conf" <<END
listeners.tcp.1 = $host:$mq_port
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 50MB
END
say '[].' >"$etc/enabled_plugins"

cat >"$etc/keystone.conf" <<END
[database]
$(database keystone)
[token]
provider = fernet
[fernet_tokens]
key_repository = $state/keystone/tokens
[credential]
key_repository = $state/keystone/credentials
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = $host:$memcached_port
[identity]
password_hash_rounds = 4
END

cat >"$etc/placement.conf" <<END
[api]
auth_strategy = keystone
$(token_check)
[placement_database]
$(database placement)
END

cat >"$etc/nova.conf" <<END
[DEFAULT]
compute_driver = fake.FakeDriverWithoutFakeNodes
host = fake-host
my_ip = $host
state_path = $state/nova
api_paste_config = $venv/etc/nova/api-paste.ini
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
instance_usage_audit = false
force_config_drive = false
report_interval = 10
service_down_time = 60
osapi_compute_workers = 1
allow_resize_to_same_host = true
$(common nova "$queue")
[api]
# Small pages here and below, so that a long listing is never on one.
max_limit = 50
[api_database]
$(database nova_api)
[cache]
enabled = true
backend = dogpile.cache.pymemcache
memcache_servers = $host:$memcached_port
[service_user]
send_service_user_token = true
$(service_user)
[placement]
$(service_user)
[neutron]
service_metadata_proxy = false
$(service_user)
[cinder]
catalog_info = volumev3::publicURL
os_region_name = RegionOne
$(service_user)
[glance]
api_servers = http://$host:$glance
[keystone]
$(service_user)
[conductor]
workers = 1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 5
[filter_scheduler]
enabled_filters = ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter
[vnc]
enabled = false
[workarounds]
disable_rootwrap = true
[libvirt]
virt_type = qemu
[key_manager]
backend = nova.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = $(printf '%064d' 1)
END

cat >"$etc/neutron.conf" <<END
[DEFAULT]
core_plugin = ml2
service_plugins = router,qos,port_forwarding,network_ip_availability
api_paste_config = $venv/etc/neutron/api-paste.ini
state_path = $state/neutron
auth_strategy = keystone
rpc_workers = 0
rpc_state_report_workers = 0
api_workers = 1
dhcp_agent_notification = false
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
global_physnet_mtu = 1500
pagination_max_limit = 50
$(common neutron fake://)
[nova]
$(service_user)
[placement]
$(service_user)
[quotas]
track_quota_usage = true
[ml2]
type_drivers = local,flat,vlan,geneve
tenant_network_types = geneve
mechanism_drivers = alwaysbound
extension_drivers = port_security,qos,dns
[ml2_type_geneve]
vni_ranges = 1:4094
max_header_size = 38
[ml2_type_flat]
flat_networks = physnet1
END

cat >"$etc/glance-api.conf" <<END
[DEFAULT]
enabled_backends = file:file
node_staging_uri = file://$state/glance/staging
$(common glance)
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $state/glance/images
[os_glance_staging_store]
filesystem_store_datadir = $state/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = $state/glance/tasks
[paste_deploy]
flavor = keystone
config_file = $venv/etc/glance/glance-api-paste.ini
END

cat >"$etc/cinder.conf" <<END
[DEFAULT]
api_paste_config = $venv/etc/cinder/api-paste.ini
resource_query_filters_file = $venv/etc/cinder/resource_filters.json
state_path = $state/cinder
host = fake-host
enabled_backends = fake
default_volume_type = __DEFAULT__
auth_strategy = keystone
rootwrap_config = $venv/etc/cinder/rootwrap.conf
glance_api_servers = http://$host:$glance
osapi_volume_workers = 1
osapi_max_limit = 50
$(common cinder "$queue")
[service_user]
send_service_user_token = true
$(service_user)
[nova]
$(service_user)
[coordination]
backend_url = file://$state/cinder/coordination
[key_manager]
backend = cinder.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = $(printf '%064d' 1)
[fake]
volume_driver = cinder.tests.fake_driver.FakeLoggingVolumeDriver
volume_backend_name = fake
END

cat >"$etc/octavia.conf" <<END
[DEFAULT]
$(common octavia "$queue")
[service_auth]
$(service_user)
[api_settings]
bind_host = $host
bind_port = $octavia
auth_strategy = keystone
pagination_max_limit = 50
enabled_provider_drivers = amphora:amphora driver,noop_driver:nothing that a worker completes
default_provider_driver = amphora
[oslo_messaging]
topic = octavia_prov
[controller_worker]
workers = 1
amp_flavor_id = 1
amp_image_tag = amphora
amp_boot_network_list = 00000000-0000-0000-0000-000000000001
amphora_driver = amphora_noop_driver
compute_driver = compute_noop_driver
network_driver = network_noop_driver
image_driver = image_noop_driver
volume_driver = volume_noop_driver
distributor_driver = distributor_noop_driver
loadbalancer_topology = SINGLE
client_ca = $state/octavia/ca.pem
[certificates]
cert_manager = noop_cert_manager
cert_generator = local_cert_generator
ca_certificate = $state/octavia/ca.pem
ca_private_key = $state/octavia/ca.key
ca_private_key_passphrase = passphrase
server_certs_key_passphrase = insecure-key-do-not-use-this-key
[health_manager]
heartbeat_key = insecure
controller_ip_port_list = $host:5555
[task_flow]
jobboard_enabled = false
[driver_agent]
status_socket_path = $state/octavia/status.sock
stats_socket_path = $state/octavia/stats.sock
get_socket_path = $state/octavia/get.sock
END
cp "$venv/etc/nova/api-paste.ini" "$etc/api-paste.ini"
