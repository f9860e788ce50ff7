"""What the model endpoint remembers: the least that EC2's own rules need.

Names of members are those of the service model. Changes of state take SETTLE seconds, so
that nobody gets away with not waiting for them.
"""
import base64
import os
import secrets
import time

ACCOUNT, REGION, ZONE, ROLE = '111122223333', 'eu-north-1', 'eu-north-1b', 'proxy-role'
VPC, SUBNET, GROUP = 'vpc-0aa11bb22cc33dd44', 'subnet-0123456789abcdef0', 'sg-0123456789abcdef0'
SETTLE = 0.4
NOW = '2026-01-01T00:00:00.000Z'
CONSOLE = 'Linux version 6.1\r\n\r\nDebian GNU/Linux 12 model ttyS0\r\n\r\nmodel login: '


def new_id(prefix):
    return f'{prefix}-0{secrets.token_hex(8)}'


PROXY = {
    'InstanceId': 'i-0feedc0ffee012345', 'InstanceType': 'm5.large',
    'PrivateIpAddress': '10.1.2.3', 'ImageId': 'ami-0feedc0ffee012345',
}
# name, hypervisor, processors, MiB, ENA, boot modes
TYPES = [
    ('t2.micro', 'xen', 1, 1024, 'unsupported', ['legacy-bios']),
    ('t3.nano', 'nitro', 2, 512, 'required', ['legacy-bios', 'uefi']),
    ('t3.micro', 'nitro', 2, 1024, 'required', ['legacy-bios', 'uefi']),
    ('m5.large', 'nitro', 2, 8192, 'required', ['legacy-bios', 'uefi']),
    ('m5.4xlarge', 'nitro', 16, 65536, 'required', ['legacy-bios', 'uefi']),
]


class Refusal(Exception):
    """An error that EC2 itself would answer."""

    def __init__(self, code, message, status=400):
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


def missing(kind, what):
    return Refusal(f'Invalid{kind}.NotFound', f"The ID '{what}' does not exist")


def tags_of(params, kind):
    for spec in params.get('TagSpecifications', []):
        if spec['ResourceType'] == kind:
            return [dict(t) for t in spec['Tags']]
    return []


class Thing(dict):
    """A resource: its model members, and `later`: (when, member, value) still to come."""

    def __init__(self, **members):
        super().__init__(**members)
        self.later = []

    def change(self, value, final=None, member='State', then=None):
        self[member] = value
        if final is not None:
            self.later.append((time.monotonic() + SETTLE, member, final, then))

    def settle(self):
        due = [x for x in self.later if x[0] <= time.monotonic()]
        self.later = [x for x in self.later if x not in due]
        for _, member, value, then in due:
            if value is not None:
                self[member] = value
            if then:
                then()


class State:
    def __init__(self, root):
        self.dev = os.path.join(root, 'dev', 'disk', 'by-id')
        self.files = os.path.join(root, 'volumes')
        os.makedirs(self.dev, exist_ok=True)
        os.makedirs(self.files, exist_ok=True)
        self.volumes, self.snapshots, self.images, self.instances = {}, {}, {}, {}
        self.tokens = {}
        self.instances[PROXY['InstanceId']] = self.new_instance(
            PROXY['InstanceId'], PROXY['InstanceType'], PROXY['ImageId'], '/dev/xvda',
            PROXY['PrivateIpAddress'])
        root_volume = self.new_volume(8, 'gp3', [], state='in-use')
        self.put(root_volume, PROXY['InstanceId'], '/dev/xvda', 'attached')
        self.instances[PROXY['InstanceId']]['State'] = 'running'

    def call(self, action, params):
        for things in (self.volumes, self.snapshots, self.images, self.instances):
            for thing in list(things.values()):
                thing.settle()
        method = getattr(self, action, None)
        if method is None:
            raise Refusal('InvalidAction', f'{action} is in the model but not in this endpoint')
        token = params.get('ClientToken')
        if params.get('DryRun'):
            raise Refusal('DryRunOperation',
                          'Request would have succeeded, but DryRun flag is set.', 412)
        if token and (action, token) in self.tokens:
            before, result = self.tokens[action, token]
            if before != params:
                raise Refusal('IdempotentParameterMismatch', 'the token is of another request')
            return result()
        result = method(params)
        if callable(result):
            if token:
                self.tokens[action, token] = (params, result)
            return result()
        return result

    # ---- describing ----

    def pick(self, things, params, ids, kind, fields):
        wanted = params.get(ids) or []
        for i in wanted:
            if i not in things:
                raise missing(kind, i)
        out = [t for k, t in things.items() if not wanted or k in wanted]
        for f in params.get('Filters', []):
            out = [t for t in out if self.fits(t, f, fields)]
        return out

    @staticmethod
    def fits(thing, f, fields):
        name, values = f['Name'], f.get('Values', [])
        if name.startswith('tag:'):
            have = [t['Value'] for t in thing.get('Tags', []) if t['Key'] == name[4:]]
        elif name == 'tag-key':
            have = [t['Key'] for t in thing.get('Tags', [])]
        elif name in fields:
            have = fields[name](thing)
        else:
            raise Refusal('InvalidParameterValue', f"The filter '{name}' is invalid")
        return any(str(h) in values for h in have)

    @staticmethod
    def shown(thing):
        return {k: v for k, v in thing.items() if not k.startswith('_')}

    def DescribeVolumes(self, params):
        found = self.pick(self.volumes, params, 'VolumeIds', 'Volume', {
            'attachment.instance-id': lambda v: [a['InstanceId'] for a in v['Attachments']],
            'status': lambda v: [v['State']],
        })
        return {'Volumes': [self.shown(v) for v in found]}

    def DescribeInstances(self, params):
        found = self.pick(self.instances, params, 'InstanceIds', 'InstanceID', {
            'instance-state-name': lambda i: [i['State']],
            'client-token': lambda i: [i.get('ClientToken', '')],
        })
        return {'Reservations': [{'ReservationId': 'r-1', 'OwnerId': ACCOUNT,
                                  'Instances': [self.instance(i)]} for i in found]}

    def DescribeSnapshots(self, params):
        found = self.pick(self.snapshots, params, 'SnapshotIds', 'Snapshot', {
            'volume-id': lambda s: [s['VolumeId']], 'status': lambda s: [s['State']]})
        return {'Snapshots': [self.shown(s) for s in found]}

    def DescribeImages(self, params):
        found = self.pick(self.images, params, 'ImageIds', 'AMIID', {
            'name': lambda i: [i['Name']], 'state': lambda i: [i['State']],
            'boot-mode': lambda i: [i['BootMode']]})
        return {'Images': [self.shown(i) for i in found]}

    def DescribeTags(self, params):
        lists = (('volume', self.volumes), ('snapshot', self.snapshots),
                 ('image', self.images), ('instance', self.instances))
        rows = {}
        for kind, things in lists:
            for key, thing in things.items():
                for t in thing.get('Tags', []):
                    rows[key, t['Key']] = {'ResourceId': key, 'ResourceType': kind, **t}
        found = self.pick(rows, params, 'none', 'Tag', {
            'key': lambda r: [r['Key']], 'value': lambda r: [r['Value']],
            'resource-id': lambda r: [r['ResourceId']],
            'resource-type': lambda r: [r['ResourceType']]})
        return {'Tags': found}

    def DescribeInstanceTypes(self, params):
        types = {name: {
            'InstanceType': name, 'Hypervisor': hypervisor, 'BareMetal': False,
            'CurrentGeneration': True, 'SupportedRootDeviceTypes': ['ebs'],
            'SupportedVirtualizationTypes': ['hvm'], 'SupportedBootModes': modes,
            'ProcessorInfo': {'SupportedArchitectures': ['x86_64']},
            'VCpuInfo': {'DefaultVCpus': cpus}, 'MemoryInfo': {'SizeInMiB': mib},
            'NetworkInfo': {'EnaSupport': ena, 'MaximumNetworkInterfaces': 3},
            'EbsInfo': {'NvmeSupport': 'required' if hypervisor == 'nitro' else 'unsupported',
                        'EncryptionSupport': 'supported', 'EbsOptimizedSupport': 'default'},
        } for name, hypervisor, cpus, mib, ena, modes in TYPES}
        found = self.pick(types, params, 'InstanceTypes', 'InstanceType', {
            'processor-info.supported-architecture':
                lambda t: t['ProcessorInfo']['SupportedArchitectures'],
            'supported-boot-mode': lambda t: t['SupportedBootModes'],
            'hypervisor': lambda t: [t['Hypervisor']]})
        return {'InstanceTypes': found}

    def DescribeSubnets(self, params):
        subnets = {SUBNET: {
            'SubnetId': SUBNET, 'VpcId': VPC, 'AvailabilityZone': ZONE, 'State': 'available',
            'CidrBlock': '10.1.0.0/16', 'AvailableIpAddressCount': 1000, 'DefaultForAz': True}}
        found = self.pick(subnets, params, 'SubnetIds', 'SubnetID', {
            'availability-zone': lambda s: [s['AvailabilityZone']],
            'default-for-az': lambda s: [str(s['DefaultForAz']).lower()],
            'vpc-id': lambda s: [s['VpcId']]})
        return {'Subnets': found}

    def DescribeSecurityGroups(self, params):
        groups = {GROUP: {'GroupId': GROUP, 'GroupName': 'default', 'VpcId': VPC,
                          'Description': 'default VPC security group', 'OwnerId': ACCOUNT}}
        return {'SecurityGroups': self.pick(groups, params, 'GroupIds', 'Group', {})}

    def DescribeInstanceStatus(self, params):
        rows = []
        for i in self.pick(self.instances, params, 'InstanceIds', 'InstanceID', {}):
            if i['State'] != 'running' and not params.get('IncludeAllInstances'):
                continue
            summary = {'Status': 'ok' if i['State'] == 'running' else 'not-applicable'}
            rows.append({'InstanceId': i['InstanceId'], 'AvailabilityZone': ZONE,
                         'InstanceState': self.state_of(i), 'InstanceStatus': summary,
                         'SystemStatus': summary})
        return {'InstanceStatuses': rows}

    def GetConsoleOutput(self, params):
        i = self.need(self.instances, params['InstanceId'], 'InstanceID')
        return {'InstanceId': i['InstanceId'], 'Timestamp': NOW,
                'Output': base64.b64encode(CONSOLE.encode()).decode()}

    def GetEbsEncryptionByDefault(self, _params):
        return {'EbsEncryptionByDefault': False}

    def GetCallerIdentity(self, _params):
        return {'UserId': 'AROAMODEL:proxy', 'Account': ACCOUNT,
                'Arn': f'arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/proxy'}

    # ---- volumes ----

    @staticmethod
    def need(things, key, kind):
        if key not in things:
            raise missing(kind, key)
        return things[key]

    def new_volume(self, size, kind, tags, state=None, snapshot=''):
        key = new_id('vol')
        v = Thing(VolumeId=key, Size=size, VolumeType=kind, AvailabilityZone=ZONE,
                  SnapshotId=snapshot, Encrypted=False, CreateTime=NOW, Attachments=[],
                  Iops=3000, Throughput=125, MultiAttachEnabled=False, Tags=tags)
        if state:
            v['State'] = state
        else:
            v.change('creating', 'available')
        with open(os.path.join(self.files, key), 'wb') as f:
            f.truncate(size << 30)
        self.volumes[key] = v
        return v

    def CreateVolume(self, params):
        if params['AvailabilityZone'] != ZONE:
            raise Refusal('InvalidZone.NotFound', f"The zone '{params['AvailabilityZone']}'"
                          ' does not exist.')
        v = self.new_volume(params['Size'], params.get('VolumeType', 'gp2'),
                            tags_of(params, 'volume'))

        def result():
            shown = self.shown(v)
            shown.pop('Attachments')
            return shown
        return result

    def link(self, volume):
        return os.path.join(self.dev, 'nvme-Amazon_Elastic_Block_Store_'
                            + volume['VolumeId'].replace('-', ''))

    def put(self, volume, instance_id, device, state):
        volume['Attachments'] = [Thing(
            VolumeId=volume['VolumeId'], InstanceId=instance_id, Device=device, State=state,
            AttachTime=NOW, DeleteOnTermination=False)]
        volume['State'] = 'in-use'

    def AttachVolume(self, params):
        v = self.need(self.volumes, params['VolumeId'], 'Volume')
        i = self.need(self.instances, params['InstanceId'], 'InstanceID')
        if v['State'] != 'available':
            raise Refusal('VolumeInUse', f"{v['VolumeId']} is {v['State']}")
        if i['State'] not in ('running', 'stopped'):
            raise Refusal('IncorrectState', f"Instance '{i['InstanceId']}' is not 'running'.")
        if any(a['Device'] == params['Device'] for x in self.volumes.values()
               for a in x['Attachments'] if a['InstanceId'] == i['InstanceId']):
            raise Refusal('InvalidParameterValue', f"{params['Device']} is already in use")
        self.put(v, i['InstanceId'], params['Device'], 'attaching')

        def attached():
            v['Attachments'][0]['State'] = 'attached'
            if i['InstanceId'] == PROXY['InstanceId']:
                os.symlink(os.path.join(self.files, v['VolumeId']), self.link(v))
        v.later.append((time.monotonic() + SETTLE, 'State', 'in-use', attached))
        return dict(v['Attachments'][0])

    def DetachVolume(self, params):
        v = self.need(self.volumes, params['VolumeId'], 'Volume')
        if not v['Attachments']:
            raise Refusal('IncorrectState', f"Volume '{v['VolumeId']}' is in the 'available'"
                          ' state.')
        a = v['Attachments'][0]
        if params.get('InstanceId', a['InstanceId']) != a['InstanceId']:
            raise Refusal('InvalidAttachment.NotFound', 'attached elsewhere')
        a['State'] = 'detaching'
        if os.path.islink(self.link(v)):
            os.unlink(self.link(v))

        def gone():
            v['Attachments'] = []
        v.later.append((time.monotonic() + SETTLE, 'State', 'available', gone))
        return dict(a)

    def DeleteVolume(self, params):
        v = self.need(self.volumes, params['VolumeId'], 'Volume')
        if v['Attachments']:
            raise Refusal('VolumeInUse', f"Volume {v['VolumeId']} is currently attached")
        v.change('deleting')
        v.later.append((time.monotonic() + SETTLE, 'State', None,
                        lambda: self.forget(v['VolumeId'])))
        return {}

    def forget(self, key):
        self.volumes.pop(key, None)
        os.unlink(os.path.join(self.files, key))

    # ---- snapshots and images ----

    def CreateSnapshot(self, params):
        v = self.need(self.volumes, params['VolumeId'], 'Volume')
        s = Thing(SnapshotId=new_id('snap'), VolumeId=v['VolumeId'], VolumeSize=v['Size'],
                  StartTime=NOW, Progress='', OwnerId=ACCOUNT, Encrypted=False,
                  Description=params.get('Description', ''), Tags=tags_of(params, 'snapshot'))
        s.change('pending', 'completed')
        self.snapshots[s['SnapshotId']] = s
        return self.shown(s)

    def DeleteSnapshot(self, params):
        self.need(self.snapshots, params['SnapshotId'], 'Snapshot')
        if any(m['Ebs'].get('SnapshotId') == params['SnapshotId']
               for i in self.images.values() for m in i['BlockDeviceMappings']):
            raise Refusal('InvalidSnapshot.InUse', 'The snapshot is in use by an image')
        del self.snapshots[params['SnapshotId']]
        return {}

    def RegisterImage(self, params):
        for m in params['BlockDeviceMappings']:
            s = self.need(self.snapshots, m['Ebs']['SnapshotId'], 'Snapshot')
            if s['State'] != 'completed':
                raise Refusal('IncorrectState', 'the snapshot is not completed')
        if any(i['Name'] == params['Name'] for i in self.images.values()):
            raise Refusal('InvalidAMIName.Duplicate', 'the name is taken')
        i = Thing(ImageId=new_id('ami'), Name=params['Name'], OwnerId=ACCOUNT, Public=False,
                  Description=params.get('Description', ''), CreationDate=NOW,
                  Architecture=params['Architecture'], RootDeviceType='ebs',
                  RootDeviceName=params['RootDeviceName'], ImageType='machine',
                  VirtualizationType=params['VirtualizationType'], Hypervisor='xen',
                  BootMode=params['BootMode'], EnaSupport=params.get('EnaSupport', False),
                  BlockDeviceMappings=[dict(m) for m in params['BlockDeviceMappings']],
                  Tags=tags_of(params, 'image'))
        i.change('pending', 'available')
        self.images[i['ImageId']] = i
        return {'ImageId': i['ImageId']}

    def DeregisterImage(self, params):
        self.need(self.images, params['ImageId'], 'AMIID')
        del self.images[params['ImageId']]
        return {}

    # ---- instances ----

    def new_instance(self, key, kind, image, root, address):
        return Thing(InstanceId=key, InstanceType=kind, ImageId=image, RootDeviceName=root,
                     PrivateIpAddress=address, SubnetId=SUBNET, VpcId=VPC, LaunchTime=NOW,
                     Architecture='x86_64', Hypervisor='xen', RootDeviceType='ebs',
                     VirtualizationType='hvm', EnaSupport=True, BootMode='legacy-bios', Tags=[])

    CODES = {'pending': 0, 'running': 16, 'shutting-down': 32, 'terminated': 48,
             'stopping': 64, 'stopped': 80}

    def state_of(self, i):
        return {'Code': self.CODES[i['State']], 'Name': i['State']}

    def disks(self, i):
        return [(v, a) for v in self.volumes.values() for a in v['Attachments']
                if a['InstanceId'] == i['InstanceId']]

    def instance(self, i):
        return {**self.shown(i), 'State': self.state_of(i),
                'Placement': {'AvailabilityZone': ZONE, 'Tenancy': 'default'},
                'SecurityGroups': [{'GroupId': GROUP, 'GroupName': 'default'}],
                'NetworkInterfaces': [{'NetworkInterfaceId': 'eni-0123456789abcdef0',
                                       'SubnetId': SUBNET, 'VpcId': VPC,
                                       'PrivateIpAddress': i['PrivateIpAddress']}],
                'BlockDeviceMappings': [
                    {'DeviceName': a['Device'],
                     'Ebs': {'VolumeId': v['VolumeId'], 'Status': a['State'],
                             'AttachTime': NOW,
                             'DeleteOnTermination': a['DeleteOnTermination']}}
                    for v, a in self.disks(i)]}

    def RunInstances(self, params):
        image = self.need(self.images, params['ImageId'], 'AMIID')
        if image['State'] != 'available':
            raise Refusal('InvalidAMIID.Unavailable', 'the image is not available')
        if params['InstanceType'] not in [t[0] for t in TYPES]:
            raise Refusal('InvalidParameterValue', 'Invalid instance type')
        i = self.new_instance(new_id('i'), params['InstanceType'], params['ImageId'],
                              image['RootDeviceName'],
                              params.get('PrivateIpAddress',
                                         f'10.1.9.{10 + len(self.instances)}'))
        i['Tags'] = tags_of(params, 'instance')
        i['ClientToken'] = params.get('ClientToken', '')
        i['BootMode'], i['EnaSupport'] = image['BootMode'], image['EnaSupport']
        for m in image['BlockDeviceMappings']:
            snapshot = self.snapshots[m['Ebs']['SnapshotId']]
            v = self.new_volume(snapshot['VolumeSize'], m['Ebs'].get('VolumeType', 'gp2'),
                                tags_of(params, 'volume'), state='in-use',
                                snapshot=snapshot['SnapshotId'])
            self.put(v, i['InstanceId'], m['DeviceName'], 'attached')
            v['Attachments'][0]['DeleteOnTermination'] = True
        i.change('pending', 'running')
        self.instances[i['InstanceId']] = i
        return lambda: {'ReservationId': 'r-1', 'OwnerId': ACCOUNT,
                        'Instances': [self.instance(i)]}

    def move(self, params, answer, allowed, through, to):
        rows = []
        for key in params['InstanceIds']:
            i = self.need(self.instances, key, 'InstanceID')
            before = self.state_of(i)
            if i['State'] in allowed:
                i.change(through, to)
            elif i['State'] not in (through, to):
                raise Refusal('IncorrectInstanceState',
                              f"The instance '{key}' is {i['State']}")
            rows.append({'InstanceId': key, 'CurrentState': self.state_of(i),
                         'PreviousState': before})
        return {answer: rows}

    def StopInstances(self, params):
        return self.move(params, 'StoppingInstances', ('running',), 'stopping', 'stopped')

    def StartInstances(self, params):
        for key in params['InstanceIds']:
            i = self.need(self.instances, key, 'InstanceID')
            if not any(a['Device'] == i['RootDeviceName'] for _, a in self.disks(i)):
                raise Refusal('IncorrectInstanceState', f"'{key}' has no root volume attached")
        return self.move(params, 'StartingInstances', ('stopped',), 'pending', 'running')

    def TerminateInstances(self, params):
        result = self.move(params, 'TerminatingInstances', ('running', 'stopped', 'pending'),
                           'shutting-down', 'terminated')
        for key in params['InstanceIds']:
            for v, a in self.disks(self.instances[key]):
                v['Attachments'] = []
                v['State'] = 'available'
                if a['DeleteOnTermination']:
                    self.forget(v['VolumeId'])
        return result

    def ModifyInstanceAttribute(self, params):
        i = self.need(self.instances, params['InstanceId'], 'InstanceID')
        if 'EnaSupport' in params:
            i['EnaSupport'] = params['EnaSupport']['Value']
        for m in params.get('BlockDeviceMappings', []):
            hits = [a for _, a in self.disks(i) if a['Device'] == m['DeviceName']]
            if not hits:
                raise Refusal('InvalidInstanceAttributeValue',
                              f"No device is currently mapped at {m['DeviceName']}")
            hits[0]['DeleteOnTermination'] = m['Ebs']['DeleteOnTermination']
        return {}

    def CreateTags(self, params):
        for key in params['Resources']:
            for things in (self.volumes, self.snapshots, self.images, self.instances):
                if key in things:
                    have = {t['Key']: t['Value'] for t in things[key]['Tags']}
                    have.update({t['Key']: t.get('Value', '') for t in params['Tags']})
                    things[key]['Tags'] = [{'Key': k, 'Value': v} for k, v in have.items()]
        return {}
