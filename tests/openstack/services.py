"""What the services need before they are a cloud: users, endpoints, flavors, an external network and an image."""

import os
import sys
import time

from keystoneauth1 import session
from keystoneauth1.identity import v3

HOST = 'http://127.0.0.1'
PORTS = dict(keystone=25000, nova=28774, placement=28778, neutron=29696, glance=29292, cinder=28776, octavia=29876)
URL = {name: f'{HOST}:{port}' for name, port in PORTS.items()}
IDENTITY = URL['keystone'] + '/v3'


def connect(user='admin', password='admin-password', project='admin'):
    return session.Session(
        v3.Password(
            auth_url=IDENTITY,
            username=user,
            password=password,
            project_name=project,
            user_domain_name='Default',
            project_domain_name='Default',
        )
    )


def post(admin, url, kind, /, **body):
    return admin.post(url, json={kind: body}).json()[kind]


def roles(admin):
    return {role['name']: role['id'] for role in admin.get(IDENTITY + '/roles').json()['roles']}


def project(admin, name, user_roles=('member', 'load-balancer_member')):
    """A project with a user of the same name; the password is the name with `-password` behind it."""
    known = roles(admin)
    made = post(admin, IDENTITY + '/projects', 'project', name=name, domain_id='default')['id']
    user = post(
        admin, IDENTITY + '/users', 'user', name=name, password=name + '-password', domain_id='default', default_project_id=made
    )['id']
    for role in user_roles:
        admin.put(f'{IDENTITY}/projects/{made}/users/{user}/roles/{known[role]}')
    return made


def identity(admin):
    for role in ('service', 'load-balancer_member', 'load-balancer_admin'):
        if role not in roles(admin):
            post(admin, IDENTITY + '/roles', 'role', name=role)
    project(admin, 'service', ('admin', 'service'))
    # As on real clouds: some addresses have a version, some have none.
    for name, kind, path in (
        ('nova', 'compute', '/v2.1'),
        ('placement', 'placement', ''),
        ('neutron', 'network', ''),
        ('glance', 'image', ''),
        ('cinder', 'volumev3', '/v3/%(project_id)s'),
        ('cinder', 'block-storage', '/v3/%(project_id)s'),
        ('octavia', 'load-balancer', ''),
    ):
        service = post(admin, IDENTITY + '/services', 'service', name=name, type=kind)['id']
        for interface in ('public', 'internal', 'admin'):
            post(
                admin,
                IDENTITY + '/endpoints',
                'endpoint',
                service_id=service,
                interface=interface,
                region_id='RegionOne',
                url=URL[name] + path,
            )


def ready(admin):
    end = time.monotonic() + 120
    seen = None
    while time.monotonic() < end:
        try:
            own = admin.get_project_id()
            compute = admin.get(URL['nova'] + '/v2.1/os-services').json()['services']
            volume = admin.get(f"{URL['cinder']}/v3/{own}/os-services").json()['services']
            hosts = admin.get(URL['nova'] + '/v2.1/os-hypervisors').json()['hypervisors']
            providers = admin.get(URL['placement'] + '/resource_providers').json()['resource_providers']
            up = {service['binary'] for service in compute + volume if service['state'] == 'up'}
            wanted = {'nova-conductor', 'nova-scheduler', 'nova-compute', 'cinder-scheduler', 'cinder-volume'}
            if up >= wanted and hosts and providers:
                return
            seen = up
        except Exception as error:
            seen = error
        time.sleep(0.3)
    sys.exit(f'the services are not ready: {seen!r}')


def cloud(admin):
    for name, cores, memory, disk in (('SCS-2V-4-20', 2, 4096, 20), ('SCS-2V-4', 2, 4096, 0), ('SCS-4V-8', 4, 8192, 0)):
        post(admin, URL['nova'] + '/v2.1/flavors', 'flavor', name=name, vcpus=cores, ram=memory, disk=disk)
    network = post(
        admin,
        URL['neutron'] + '/v2.0/networks',
        'network',
        **{'name': 'public', 'router:external': True, 'provider:network_type': 'flat', 'provider:physical_network': 'physnet1'},
    )['id']
    post(
        admin,
        URL['neutron'] + '/v2.0/subnets',
        'subnet',
        name='public',
        network_id=network,
        cidr='198.18.0.0/16',
        ip_version=4,
        enable_dhcp=False,
    )
    for version in ('v1.33.5', 'v1.34.2'):
        image = admin.post(
            URL['glance'] + '/v2/images',
            json=dict(name=f'ubuntu-capi-image-{version}', disk_format='raw', container_format='bare', visibility='public'),
        ).json()['id']
        admin.put(
            f"{URL['glance']}/v2/images/{image}/file", data=b'x' * 1024, headers={'Content-Type': 'application/octet-stream'}
        )


if __name__ == '__main__':
    os.environ['NO_PROXY'] = '127.0.0.1'
    {'identity': identity, 'ready': ready, 'cloud': cloud}[sys.argv[1]](connect())
