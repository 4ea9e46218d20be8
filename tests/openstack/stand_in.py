"""Makes projects and what is in them: a cluster's topology as Cluster API's OpenStack provider makes it, and decoys.

stand_in.py project NAME [LIMIT=N...]        a project; prints a clouds.yaml with the clouds NAME (password) and NAME-app
stand_in.py topology NAME RUN OWNER EXPIRES  one cluster of three control planes and three workers; prints the ids
stand_in.py decoys NAME OTHER COUNT          what must never be touched, in the project NAME and some in OTHER; prints the ids
stand_in.py stuck NAME RUN OWNER EXPIRES     a load balancer that stays PENDING_CREATE for ever; prints its id
stand_in.py ids NAME                         the ids of everything in the project, read without any filter
"""

import concurrent.futures
import datetime
import json
import sys
import time

from services import IDENTITY, URL, connect, post, project

N = URL['neutron'] + '/v2.0'
C = URL['nova'] + '/v2.1'
O = URL['octavia'] + '/v2/lbaas'
I = URL['glance'] + '/v2'
TAGGED = {'OpenStack-API-Version': 'compute 2.64'}
LISTS = (
    ('network', N + '/networks', 'networks'),
    ('subnet', N + '/subnets', 'subnets'),
    ('router', N + '/routers', 'routers'),
    ('port', N + '/ports', 'ports'),
    ('security group', N + '/security-groups', 'security_groups'),
    ('floating IP', N + '/floatingips', 'floatingips'),
    ('load balancer', O + '/loadbalancers', 'loadbalancers'),
    ('server', C + '/servers', 'servers'),
    ('server group', C + '/os-server-groups', 'server_groups'),
    ('keypair', C + '/os-keypairs', 'keypairs'),
    ('volume', 'VOLUME/volumes', 'volumes'),
    ('snapshot', 'VOLUME/snapshots', 'snapshots'),
    ('image', I + '/images?visibility=private', 'images'),
)
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH7mYyXpQZkqF3hD7jQ4m1v6rJj8f0a9yqk0b3c1d2e3 stand-in'


def user(name):
    return connect(name, name + '-password', name)


def mark(run, owner, expires):
    return {'stack-e2e-run': run, 'stack-e2e-owner': owner, 'stack-e2e-expires-at': str(expires)}


def tags(pairs):
    return [f'{key}={value}' for key, value in pairs.items()]


def until(look, good, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = look()
        if good(seen):
            return seen
        time.sleep(0.2)
    sys.exit(f'it does not become what it should: {seen}')


class Maker:
    """Makes things in one project, with a mark or without."""

    def __init__(self, name, pairs=None, prefix='e2e'):
        self.s = user(name)
        self.pairs = pairs or {}
        self.prefix = prefix
        self.volumes = f"{URL['cinder']}/v3/{self.s.get_project_id()}"
        self.ids = {}

    def keep(self, kind, made):
        self.ids.setdefault(kind, []).append(made)
        return made

    def network(self, kind, path, key, tag=True, **body):
        """Neutron: the description is in the creating call, tags are a second one."""
        if self.pairs:
            body.setdefault('description', ' '.join(['Created for a test:', *tags(self.pairs)]))
        made = post(self.s, f'{N}/{path}', key, **body)['id']
        if self.pairs and tag:
            self.s.put(f'{N}/{path}/{made}/tags', json={'tags': tags(self.pairs)})
        return self.keep(kind, made)

    def server(self, name, port, flavor, image, group=None):
        body = dict(name=name, flavorRef=flavor, imageRef=image, networks=[{'port': port}], metadata=self.pairs, tags=tags(self.pairs))
        request = {'server': body}
        if group:
            request['os:scheduler_hints'] = {'group': group}
        made = self.s.post(C + '/servers', json=request, headers=TAGGED).json()['server']['id']
        return self.keep('server', made)

    def active(self, server):
        look = lambda: self.s.get(f'{C}/servers/{server}').json()['server']['status']
        if until(look, lambda status: status in ('ACTIVE', 'ERROR')) != 'ACTIVE':
            sys.exit(f'server {server} is in ERROR')

    def volume(self, name, size=1):
        made = post(self.s, self.volumes + '/volumes', 'volume', name=name, size=size, metadata=self.pairs)['id']
        until(lambda: self.s.get(f'{self.volumes}/volumes/{made}').json()['volume']['status'], lambda x: x in ('available', 'error'))
        return self.keep('volume', made)

    def balancer(self, name, subnet, provider='amphora', members=(), wait=True):
        body = dict(name=name, vip_subnet_id=subnet, provider=provider, tags=tags(self.pairs), description=' '.join(tags(self.pairs)))
        if members:
            pool = dict(
                name=name,
                protocol='TCP',
                lb_algorithm='ROUND_ROBIN',
                members=[dict(address=address, protocol_port=6443) for address in members],
            )
            body['listeners'] = [dict(name=name, protocol='TCP', protocol_port=6443, default_pool=pool)]
        made = post(self.s, O + '/loadbalancers', 'loadbalancer', **body)['id']
        self.keep('load balancer', made)
        if wait:
            look = lambda: self.s.get(f'{O}/loadbalancers/{made}').json()['loadbalancer']['provisioning_status']
            if until(look, lambda x: x in ('ACTIVE', 'ERROR')) != 'ACTIVE':
                sys.exit(f'load balancer {made} is in ERROR')
        return made

    def first(self, url, key, **wanted):
        return next(x['id'] for x in self.s.get(url).json()[key] if all(x[k] == v for k, v in wanted.items()))


def together(count, make):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(count)))


def topology(name, run, owner, expires):
    m = Maker(name, mark(run, owner, expires))
    external = m.first(N + '/networks?router:external=true', 'networks')
    flavor = m.first(C + '/flavors', 'flavors', name='SCS-2V-4-20')
    image = m.first(I + '/images', 'images', name='ubuntu-capi-image-v1.34.2')
    base = f'k8s-clusterapi-cluster-e2e-{run}'
    network = m.network('network', 'networks', 'network', name=base)
    subnet = m.network('subnet', 'subnets', 'subnet', name=base, network_id=network, ip_version=4, cidr='10.8.0.0/20')
    router = m.network('router', 'routers', 'router', name=base, external_gateway_info={'network_id': external})
    m.s.put(f'{N}/routers/{router}/add_router_interface', json={'subnet_id': subnet})
    groups = [m.network('security group', 'security-groups', 'security_group', name=f'{base}-{role}') for role in ('controlplane', 'worker')]
    for group in groups:
        post(m.s, N + '/security-group-rules', 'security_group_rule', security_group_id=group, direction='ingress', protocol='tcp', port_range_min=6443, port_range_max=6443)
    # The name is all that a server group and a key pair have.
    whole = f'stack-e2e_{run}_{owner}_{expires}_'
    anti = m.s.post(C + '/os-server-groups', json={'server_group': {'name': whole + 'controlplane', 'policy': 'soft-anti-affinity'}}, headers=TAGGED)
    anti = m.keep('server group', anti.json()['server_group']['id'])
    m.s.post(C + '/os-keypairs', json={'keypair': {'name': whole + 'ssh', 'public_key': KEY}})
    m.keep('keypair', whole + 'ssh')

    def machine(n):
        role = n % 2
        port = m.network('port', 'ports', 'port', name=f'{base}-{n}-0', network_id=network, security_groups=[groups[role]])
        return port, m.server(f'{base}-{n}', port, flavor, image, anti if role == 0 else None)

    machines = together(6, machine)
    for _, server in machines:
        m.active(server)
    addresses = [x['fixed_ips'][0]['ip_address'] for x in (m.s.get(f'{N}/ports/{port}').json()['port'] for port, _ in machines[:3])]
    balancer = m.balancer(f'{base}-kubeapi', subnet, members=addresses)
    vip = m.s.get(f'{O}/loadbalancers/{balancer}').json()['loadbalancer']['vip_port_id']
    m.network('floating IP', 'floatingips', 'floatingip', floating_network_id=external, port_id=machines[0][0])
    m.network('floating IP', 'floatingips', 'floatingip', floating_network_id=external)
    volumes = [m.volume(f'pvc-{n}') for n in range(3)]
    m.s.post(f'{C}/servers/{machines[3][1]}/os-volume_attachments', json={'volumeAttachment': {'volumeId': volumes[0]}})
    until(lambda: m.s.get(f'{m.volumes}/volumes/{volumes[0]}').json()['volume']['status'], lambda x: x in ('in-use', 'error'))
    snapshot = post(m.s, m.volumes + '/snapshots', 'snapshot', volume_id=volumes[1], name='snapshot', metadata=m.pairs)['id']
    m.keep('snapshot', snapshot)
    until(lambda: m.s.get(f'{m.volumes}/snapshots/{snapshot}').json()['snapshot']['status'], lambda x: x in ('available', 'error'))
    assert vip
    return m.ids


def decoys(name, other, count):
    """Most are ports, floating IPs and key pairs, which are made quickly; a few of every other kind."""
    past = 1_700_000_000
    run = '01k' + 'a' * 13
    plain = Maker(name)
    external = plain.first(N + '/networks?router:external=true', 'networks')
    flavor = plain.first(C + '/flavors', 'flavors', name='SCS-2V-4-20')
    image = plain.first(I + '/images', 'images', name='ubuntu-capi-image-v1.34.2')
    makers = [
        plain,
        # Another owner, whose time is over too.
        Maker(name, mark(run, 'somebody-else', past)),
        # Ours, and at work.
        Maker(name, mark(run, 'ci', 4_000_000_000)),
        # Marks that make none.
        Maker(name, {'stack-e2e-run': run, 'stack-e2e-owner': 'ci'}),
        Maker(name, mark('no-run', 'ci', past)),
        Maker(name, mark(run, 'ci', 'soon')),
        Maker(name, mark(run, 'ci', past) | {'stack-e2e-slot': '1'}),
        # Ours and over, but in a project that is not looked at.
        Maker(other, mark(run, 'ci', past)),
    ]
    networks = []
    for place, m in enumerate(makers):
        network = m.network('network', 'networks', 'network', name='k8s-clusterapi-cluster-e2e')
        subnet = m.network('subnet', 'subnets', 'subnet', name='k8s-clusterapi-cluster-e2e', network_id=network, ip_version=4, cidr=f'10.9.{place * 16}.0/20')
        m.network('router', 'routers', 'router', name='k8s-clusterapi-cluster-e2e')
        m.network('security group', 'security-groups', 'security_group', name='k8s-clusterapi-cluster-e2e-worker')
        m.volume('pvc-decoy')
        m.s.post(C + '/os-server-groups', json={'server_group': {'name': f'stack-e2e_{run}_ci_soon_{place}', 'policy': 'affinity'}}, headers=TAGGED)
        networks.append((network, subnet))
    for place in (0, 1, 2):
        m = makers[place]
        port = m.network('port', 'ports', 'port', name='decoy', network_id=networks[place][0])
        m.active(m.server('stack-e2e-decoy', port, flavor, image))
    makers[0].balancer('kube_service_e2e_default_web', networks[0][1])
    made = sum(len(ids) for m in makers for ids in m.ids.values()) + len(makers)

    def small(n):
        place = n % len(makers)
        m = makers[place]
        if n % 12 == 5:
            m.network('floating IP', 'floatingips', 'floatingip', floating_network_id=external)
        elif n % 12 == 7:
            key = f'stack-e2e_{run}_ci_{past}_UPPER-{n}' if n % 24 == 7 else f'stack-e2e-{n}'
            m.s.post(C + '/os-keypairs', json={'keypair': {'name': key, 'public_key': KEY}})
            m.keep('keypair', key)
        else:
            # Tags of ports only now and then: each is one more request.
            m.network('port', 'ports', 'port', tag=n % 5 == 0, name=f'pvc-{n}', network_id=networks[place][0])

    together(max(0, count - made), small)
    return {'count': made + max(0, count - made)}


def all_ids(name):
    s = user(name)
    own = s.get_project_id()
    volumes = f"{URL['cinder']}/v3/{own}"
    found = {}
    for kind, url, key in LISTS:
        url = url.replace('VOLUME', volumes)
        ids, marker = [], None
        offset = 0
        while True:
            mark = f'offset={offset}' if kind == 'server group' else f'marker={marker}' if marker else ''
            glue = '&' if '?' in url else '?'
            page = s.get(url + glue + 'limit=40&' + mark).json()[key]
            page = [x['keypair'] if kind == 'keypair' else x for x in page]
            if not page:
                break
            offset += len(page)
            marker = page[-1].get('id') or page[-1]['name']
            for x in page:
                if x.get('project_id', x.get('tenant_id', x.get('owner', own))) == own:
                    ids.append(x.get('id') or x['name'])
            if kind == 'keypair':
                break
        found[kind] = sorted(set(ids))
    return found


LIMITS = {
    'instances': ('nova', 'instances'),
    'cores': ('nova', 'cores'),
    'ram': ('nova', 'ram'),
    'server_groups': ('nova', 'server_groups'),
    'key_pairs': ('nova', 'key_pairs'),
    'volumes': ('cinder', 'volumes'),
    'gigabytes': ('cinder', 'gigabytes'),
    'network': ('neutron', 'network'),
    'subnet': ('neutron', 'subnet'),
    'router': ('neutron', 'router'),
    'port': ('neutron', 'port'),
    'floatingip': ('neutron', 'floatingip'),
    'security_group': ('neutron', 'security_group'),
    'load_balancer': ('octavia', 'load_balancer'),
}


def new_project(name, limits):
    admin = connect()
    made = project(admin, name)
    by_service = {'nova': {}, 'neutron': {}, 'cinder': {}, 'octavia': {}}
    for limit in limits:
        key, value = limit.split('=')
        service, key = LIMITS[key]
        by_service[service][key] = int(value)
    own = admin.get_project_id()
    if by_service['nova']:
        admin.put(f'{C}/os-quota-sets/{made}', json={'quota_set': by_service['nova']})
    if by_service['cinder']:
        admin.put(f"{URL['cinder']}/v3/{own}/os-quota-sets/{made}", json={'quota_set': by_service['cinder']})
    if by_service['neutron']:
        admin.put(f'{N}/quotas/{made}', json={'quota': by_service['neutron']})
    if by_service['octavia']:
        admin.put(f'{O}/quotas/{made}', json={'quota': by_service['octavia']})
    s = user(name)
    end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)).strftime('%Y-%m-%dT%H:%M:%S')
    credential = s.post(
        f'{IDENTITY}/users/{s.get_user_id()}/application_credentials',
        json={'application_credential': {'name': name, 'secret': name + '-sesame-open', 'expires_at': end}},
    ).json()['application_credential']['id']
    auth = dict(auth_url=URL['keystone'], username=name, password=name + '-password', project_name=name, user_domain_name='Default', project_domain_name='Default')
    app = dict(auth_url=IDENTITY, application_credential_id=credential, application_credential_secret=name + '-sesame-open')
    return {
        'clouds': {
            name: {'auth': auth, 'region_name': 'RegionOne'},
            name + '-app': {'auth_type': 'v3applicationcredential', 'auth': app, 'region_name': 'RegionOne'},
        }
    }


if __name__ == '__main__':
    what, *args = sys.argv[1:]
    if what == 'project':
        out = new_project(args[0], args[1:])
    elif what == 'topology':
        out = topology(*args)
    elif what == 'decoys':
        out = decoys(args[0], args[1], int(args[2]))
    elif what == 'stuck':
        m = Maker(args[0], mark(*args[1:]))
        network = m.network('network', 'networks', 'network', name='stuck')
        subnet = m.network('subnet', 'subnets', 'subnet', name='stuck', network_id=network, ip_version=4, cidr='10.7.0.0/24')
        m.balancer('stuck', subnet, provider='noop_driver', wait=False)
        out = m.ids
    elif what == 'ids':
        out = all_ids(args[0])
    else:
        sys.exit(__doc__)
    print(json.dumps(out))
