"""What the program must do with real OpenStack services: preflight, inventory, deletion by id, sweep.

prove.py PROGRAM WORK [--decoys N]

Ends with a line for each proof, or at the first that fails.
"""

import json
import os
import signal
import subprocess
import sys
import time

import stand_in
from services import IDENTITY, URL, connect
from stand_in import Maker, all_ids, mark, user

PROGRAM, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
DECOYS = int(sys.argv[sys.argv.index('--decoys') + 1]) if '--decoys' in sys.argv else 1000
REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
SCENARIO = os.path.join(REPOSITORY, 'scenarios', 'openstack-big-switches.yaml')
STATE = os.environ['state']
PLENTY = [
    f'{name}={count}'
    for name, count in dict(
        instances=100, cores=200, ram=500000, server_groups=100, key_pairs=3000, volumes=100, gigabytes=1000, network=100, subnet=100,
        router=100, port=3000, floatingip=1000, security_group=100, load_balancer=20,
    ).items()
]
READY = ('--where', 'flavor=small,apiServer=amphora,apiServer=none')
PAST, FUTURE = 1_700_000_000, 4_000_000_000


def run_id(number):
    return f'01k{number:013d}'


def write(name, clouds):
    path = os.path.join(WORK, name)
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), 'w') as file:
        json.dump(clouds, file)
    return path


def program(clouds, *args, seconds=900):
    """The program as on another machine: an empty home, no environment but the credential."""
    home = os.path.join(WORK, 'home')
    os.makedirs(home, exist_ok=True)
    environment = {'HOME': home, 'PATH': '/usr/bin:/bin', 'OS_CLIENT_CONFIG_FILE': clouds, 'NO_COLOR': '1'}
    for name in ('STACK_E2E_TESTBED_CACHE_DIR', 'STACK_E2E_HELM'):
        if name in os.environ:
            environment[name] = os.environ[name]
    began = time.monotonic()
    done = subprocess.run([PROGRAM, *args], cwd=home, env=environment, capture_output=True, text=True, timeout=seconds)
    with open(os.path.join(WORK, 'program.log'), 'a') as log:
        log.write(f'$ {" ".join(args)}\n{done.stdout}{done.stderr}exit {done.returncode} after {time.monotonic() - began:.1f} s\n\n')
    for secret in ('-password', '-sesame-open', 'gAAAA'):
        assert secret not in done.stdout + done.stderr, f'`{secret}` is on the screen: {args}'
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


def sweep(clouds, cloud, *args):
    code, out, err, took = program(clouds, 'sweep', '--cloud', cloud, '--owner', 'ci', '--settle', '2s', '--format', 'json', *args)
    try:
        return code, json.loads(out), took
    except ValueError:
        raise AssertionError(f'no JSON: exit {code}\n{out}\n{err}') from None


def expect(good, *what):
    assert good, ' '.join(str(x) for x in what)[:4000]


def told(text):
    print(f'{time.monotonic() - BEGAN:6.0f} s  {text}', flush=True)


def count(ids):
    return sum(len(x) for x in ids.values())


def image(project, name):
    s = user(project)
    made = s.post(URL['glance'] + '/v2/images', json=dict(name=name, disk_format='raw', container_format='bare')).json()['id']
    s.put(f"{URL['glance']}/v2/images/{made}/file", data=b'x', headers={'Content-Type': 'application/octet-stream'})


def preflight():
    clouds = write('preflight.json', stand_in.new_project('preflight', PLENTY))
    plan = lambda cloud, *args: program(clouds, 'plan', SCENARIO, '--where', 'yawol=off', '--cloud', cloud, *args)
    code, out, err, _ = plan('preflight')
    expect(code == 5 and 'ubuntu-capi-image-v1.27' in err and '`SCS-4V-8-50`' in err and '`ovn`' in err, 'lacks', code, err)
    expect(out == '', 'a plan that cannot be carried out is not shown', out)
    # What there is: one flavor, one kind of load balancer, the images of the minors.
    ready = READY
    for version in ('v1.27.16', 'v1.28.15', 'v1.29.15'):
        image('preflight', f'ubuntu-capi-image-{version}')
    code, out, err, _ = plan('preflight-app', *ready)
    expect(code == 0 and 'not known of cloud' not in err and 'cores=200' in err, 'enough', code, out, err)
    admin, own = connect(), user('preflight').get_project_id()
    admin.put(f"{URL['nova']}/v2.1/os-quota-sets/{own}", json={'quota_set': {'instances': 9}})
    code, out, err, _ = plan('preflight', *ready, '--format', 'json')
    expect(code == 0, 'fewer at once', code, err)
    expect(json.loads(out)['timetable']['capacity']['instances'] == 9, 'the planner is told', out)
    admin.put(f"{URL['nova']}/v2.1/os-quota-sets/{own}", json={'quota_set': {'instances': 2}})
    code, _, err, _ = plan('preflight', *ready)
    expect(code == 5 and '2 are left (2 allowed, 0 in use)' in err and 'short' in err, 'too little for one', code, err)
    admin.put(f"{URL['nova']}/v2.1/os-quota-sets/{own}", json={'quota_set': {'instances': 100}})
    s = user('preflight')
    end = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(time.time() + 900))
    body = {'application_credential': {'name': 'soon', 'secret': 'preflight-sesame-open', 'expires_at': end}}
    made = s.post(f'{IDENTITY}/users/{s.get_user_id()}/application_credentials', json=body).json()['application_credential']['id']
    all_clouds = json.load(open(clouds))
    all_clouds['clouds']['soon'] = json.loads(json.dumps(all_clouds['clouds']['preflight-app']))
    all_clouds['clouds']['soon']['auth']['application_credential_id'] = made
    write('preflight.json', all_clouds)
    code, _, err, _ = plan('soon', *ready)
    expect(code == 5 and 'the application credential ends at' in err, 'a credential that ends', code, err)
    all_clouds['clouds']['soon']['auth']['application_credential_secret'] = 'preflight-sesame-shut'
    write('preflight.json', all_clouds)
    code, _, err, _ = plan('soon', *ready)
    expect(code == 3 and '401' in err and 'hint:' in err, 'a wrong credential', code, err)
    code, _, err, _ = plan('son', *ready)
    expect(code == 2 and 'did you mean `soon`?' in err, 'a wrong name', code, err)
    told('preflight: lacks, quotas in numbers, the capacity of the planner, credentials')


def disposable():
    clouds = write('disposable.json', stand_in.new_project('disposable', PLENTY))
    code, report, _ = sweep(clouds, 'disposable-app', '--disposable', '--yes')
    expect(code == 0 and report['clean'], 'an empty project', code, report)
    made = count(stand_in.topology('disposable', run_id(1), 'ci', FUTURE))
    before = all_ids('disposable')
    code, report, _ = sweep(clouds, 'disposable-app', '--yes')
    expect(code == 0 and all_ids('disposable') == before, 'a run that lives is left', code, report)
    code, report, _ = sweep(clouds, 'disposable-app', '--run', run_id(1))
    expect(code == 4 and all_ids('disposable') == before, 'without --yes nothing goes', code)
    code, report, _ = sweep(clouds, 'disposable-app', '--run', run_id(1), '--yes', '--max-delete', '5')
    expect(code == 4 and 'max-delete' in report['refused'] and all_ids('disposable') == before, 'too many', code)
    junit = os.path.join(WORK, 'sweep.xml')
    code, report, took = sweep(clouds, 'disposable-app', '--run', run_id(1), '--yes', '--disposable', '--junit', junit)
    after = all_ids('disposable')
    left = count(after) - 1
    expect(code == 0 and report['clean'] and left == 0 and len(after['security group']) == 1, 'empty', code, report['doubts'], after)
    expect(b'failures="0"' in open(junit, 'rb').read(), 'JUnit')
    told(f'a topology of {made} things: {left} left by four counts, deleted and proven in {took:.0f} s')


def among_decoys():
    clouds = write('crowded.json', stand_in.new_project('crowded', PLENTY))
    stand_in.new_project('neighbour', PLENTY)
    decoys = stand_in.decoys('crowded', 'neighbour', DECOYS)['count']
    own, other = all_ids('crowded'), all_ids('neighbour')
    told(f'{decoys} decoys: {count(own)} in the project, {count(other)} in another')
    made = 0
    for number in (2, 3):
        made += count(stand_in.topology('crowded', run_id(number), 'ci', PAST))
    code, report, took = sweep(clouds, 'crowded-app', '--yes', '--max-delete', '200')
    expect(report['doubts'] == [] and report['unknown'] == [] and report['refused'] is None, 'counts', report['doubts'], report['unknown'])
    # The marks that make none keep it from being called clean.
    expect(code == 4 and any(x['claim'] == 'invalid' for x in report['findings']), 'invalid marks', code)
    gone = [x for x in report['findings'] if (x['outcome'] or {}).get('gone')]
    expect(len(gone) >= made, 'all of it', len(gone), made)
    expect(all_ids('crowded') == own and all_ids('neighbour') == other, 'decoys', 'something was touched')
    told(f'two topologies of {made} things among them: {len(gone)} deleted in {took:.0f} s, 0 left, 0 decoys touched')


def stuck():
    clouds = write('stuck.json', stand_in.new_project('stuck', PLENTY))
    m = Maker('stuck', mark(run_id(4), 'ci', PAST))
    network = m.network('network', 'networks', 'network', name='stuck')
    subnet = m.network('subnet', 'subnets', 'subnet', name='stuck', network_id=network, ip_version=4, cidr='10.7.0.0/24')
    m.balancer('stuck', subnet, provider='noop_driver', wait=False)
    volume = m.volume('stays')
    code, report, took = sweep(clouds, 'stuck', '--yes')
    stays = [x for x in report['findings'] if x['outcome'] and not x['outcome']['gone']]
    expect(code == 4 and [x['kind'] for x in stays] == ['load balancer'], 'stuck', code, stays)
    expect('PENDING_' in stays[0]['outcome']['because'] and took < 60, 'reported, not waited for', stays, took)
    expect(volume not in all_ids('stuck')['volume'], 'the rest goes')
    told(f'a load balancer in {stays[0]["status"]}: reported after {took:.0f} s, the rest is gone')


def killed_services():
    clouds = write('killed.json', stand_in.new_project('killed', PLENTY))
    m = Maker('killed', mark(run_id(5), 'ci', PAST))
    m.volume('left')
    for name, kind in (('octavia', 'load balancer'), ('cinder', 'volume')):
        pid = int(open(os.path.join(STATE, 'pid', name)).read())
        os.killpg(pid, signal.SIGKILL)
        code, report, took = sweep(clouds, 'killed', '--yes')
        expect(code == 4 and not report['clean'] and kind in [x['kind'] for x in report['unknown']], name, code, report)
        if name == 'octavia':
            code, _, err, _ = program(os.path.join(WORK, 'preflight.json'), 'plan', SCENARIO, '--where', 'yawol=off', *READY, '--cloud', 'preflight')
            expect(code == 0 and 'the quota of loadBalancers' in err and 'not known of cloud' in err, 'unknown is neither', code, err)
        told(f'{name} killed: not clean, because of an unknown list, after {took:.0f} s')


if __name__ == '__main__':
    BEGAN = time.monotonic()
    for proof in (preflight, disposable, among_decoys, stuck, killed_services):
        try:
            proof()
        except AssertionError as error:
            sys.exit(f'FAILED {proof.__name__}: {error}')
        except subprocess.TimeoutExpired as error:
            sys.exit(f'FAILED {proof.__name__}: {error}')
