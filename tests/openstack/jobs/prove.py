"""The playbooks of the OpenStack jobs, by ansible, with the inventory that Zuul would give, before real services.

jobs/prove.py PROGRAM WORK

The disposable credential is made by the real Keystone, the sweep removes what is marked and over with nothing but that credential,
the clean-up after a build removes what the run of that build has left, and at the end the credential is gone.
"""

import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import stand_in
from services import IDENTITY
from stand_in import Maker, all_ids, mark, user

PROGRAM, WORK, ANSIBLE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
REPOSITORY = os.path.abspath(os.path.join(HERE, '..', '..', '..'))
NAME = 'jobs'
RUN, OTHER = '01k0000000000021', '01k0000000000022'
PAST, FUTURE = 1_700_000_000, 4_000_000_000
SECRET = 'jobs-base-secret'


def credentials():
    s = user(NAME)
    answer = s.get(f'{IDENTITY}/users/{s.get_user_id()}/application_credentials').json()
    return {one['name']: one for one in answer['application_credentials']}


def base_credential():
    """It must be unrestricted: no other one may make credentials."""
    s = user(NAME)
    body = {'application_credential': {'name': 'base', 'secret': SECRET, 'unrestricted': True}}
    return s.post(f'{IDENTITY}/users/{s.get_user_id()}/application_credentials', json=body).json()['application_credential']['id']


def playbook(name, good=True):
    home = os.path.join(WORK, 'home')
    os.makedirs(os.path.join(WORK, 'job', 'work'), exist_ok=True)
    environment = dict(
        os.environ, HOME=home, ANSIBLE_ROLES_PATH=os.path.join(REPOSITORY, 'roles'), ANSIBLE_ACTION_PLUGINS=os.path.join(HERE, 'action'),
        ANSIBLE_LOCALHOST_WARNING='0', ANSIBLE_HOME=os.path.join(WORK, 'ansible'), ANSIBLE_NOCOLOR='1',
        ANSIBLE_REMOTE_TEMP=os.path.join(WORK, 'ansible', 'tmp'), LC_ALL='C.UTF-8',
    )
    command = [f'{ANSIBLE}/bin/ansible-playbook', '-vvv', '-i', os.path.join(WORK, 'inventory.json'), '--limit', 'node', f'playbooks/{name}.yaml']
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    with open(os.path.join(WORK, 'jobs.log'), 'a') as log:
        log.write(f'--- {name}\n{done.stdout}{done.stderr}\n')
    assert (done.returncode == 0) == good, f'{name}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-1000:]}'
    return done.stdout + done.stderr


def network(run, owner, expires):
    pairs = mark(run, owner, expires) if run else None
    return Maker(NAME, pairs).network('network', 'networks', 'network', name='jobs')


def main():
    began = time.monotonic()
    stand_in.new_project(NAME, ['network=20'])
    node = {'ansible_connection': 'local', 'ansible_python_interpreter': f'{ANSIBLE}/bin/python'}
    build = os.path.join(WORK, 'home', 'stack-e2e', 'build-1')
    os.makedirs(os.path.join(WORK, 'home'), exist_ok=True)
    inventory = {
        'all': {
            'hosts': {'node': node, 'localhost': node},
            'vars': {
                'zuul': {
                    'build': 'build-1', 'job': 'stack-e2e-openstack-quick', 'timeout': 10800, 'post_timeout': 2700,
                    'project': {'src_dir': REPOSITORY},
                },
                'stack_e2e_binary': PROGRAM, 'stack_e2e_cloud': True,
                'stack_e2e_openstack': {
                    'auth_url': IDENTITY, 'region': 'RegionOne', 'application_credential_id': base_credential(),
                    'application_credential_secret': SECRET,
                },
            },
        }
    }
    with open(os.open(os.path.join(WORK, 'inventory.json'), os.O_CREAT | os.O_WRONLY, 0o600), 'w') as file:
        json.dump(inventory, file)

    said = playbook('openstack/pre')
    disposable = credentials()['stack-e2e-build-1']
    assert not disposable['unrestricted'] and disposable['expires_at'], disposable
    clouds = os.path.join(build, 'cloud', 'clouds.yaml')
    assert os.stat(clouds).st_mode & 0o777 == 0o600
    made = next(line.split('"')[1] for line in open(clouds) if 'credential_secret' in line)
    said += playbook('e2e/pre')

    over, lives, foreign = network(RUN, 'stack-e2e', PAST), network(OTHER, 'stack-e2e', FUTURE), network(None, None, None)
    said += playbook('sweep/run')
    assert all_ids(NAME)['network'] == sorted([lives, foreign]), (over, all_ids(NAME))
    print(f'{time.monotonic() - began:6.0f} s  jobs: the sweep has removed what was over, with the disposable credential alone', flush=True)

    # As a killed run leaves it: its journal is there, and what it made.
    left = network(RUN, 'stack-e2e', FUTURE)
    os.makedirs(os.path.join(build, 'out', 'runs', RUN))
    open(os.path.join(build, 'out', 'runs', RUN, 'journal.jsonl'), 'w').close()
    said += playbook('e2e/teardown')
    assert all_ids(NAME)['network'] == sorted([lives, foreign]), (left, all_ids(NAME))
    assert not os.path.exists(os.path.join(build, 'bin')), 'the directory of the build is left'
    print(f'{time.monotonic() - began:6.0f} s  jobs: the clean-up has removed what the run of its build has left, and nothing else', flush=True)

    said += playbook('openstack/post')
    assert 'stack-e2e-build-1' not in credentials() and 'base' in credentials(), credentials().keys()
    assert not os.path.exists(clouds)
    for secret in (SECRET, made, 'gAAAA'):
        assert secret not in said, 'a secret is in the output'
    print(f'{time.monotonic() - began:6.0f} s  jobs: the credential is gone, and no secret is in {said.count(chr(10))} lines of output', flush=True)


main()
