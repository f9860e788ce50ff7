#!/usr/bin/python3
"""An EC2 and STS endpoint that is not ours, to hold hotadd against.

Every request is judged by AWS's own service model, as python3-botocore installs it: the
action, every parameter's name, type, range, enumeration and presence, by the rules of the
Query protocol; and its signature by botocore's own signer. Answers are written by the same
model. Behind it is a small memory of volumes, instances, images and snapshots
(ec2_model_state.py). Also an IMDSv2 on a second port. It shares no code with the lab.

usage: ec2_model_endpoint.py DIR
Writes DIR/env (shell export lines) when ready, DIR/requests.jsonl (a line per request,
with "rejected" when the model does not allow it); attached volumes appear below DIR/dev.
"""
import http.server
import json
import os
import re
import signal
import sys
import threading
import urllib.parse
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import botocore.validate

from ec2_model_state import ACCOUNT, PROXY, REGION, ROLE, ZONE, Refusal, State

ACCESS_KEY = 'AKIAMODELENDPOINT' + 'TST'
SECRET_KEY = 'model/endpoint/secret/key/for/tests/only'
ENVELOPE = {'Action', 'Version'}


class Rejected(Exception):
    """The model does not allow this request."""


# ---- Reading: the Query protocol backwards ----

def wire_name(service, member_name, shape):
    """The name of a parameter on the wire."""
    if service == 'ec2':
        if 'queryName' in shape.serialization:
            return shape.serialization['queryName']
        name = shape.serialization.get('name', member_name)
        return name[0].upper() + name[1:]
    return shape.serialization.get('name', member_name)


def read_scalar(shape, text, where):
    kind = shape.type_name
    if kind == 'boolean':
        if text not in ('true', 'false'):
            raise Rejected(f'{where}: {text!r} is no boolean')
        return text == 'true'
    if kind in ('integer', 'long'):
        if not re.fullmatch(r'-?[0-9]+', text):
            raise Rejected(f'{where}: {text!r} is no integer')
        return int(text)
    if kind in ('float', 'double'):
        return float(text)
    if kind == 'string':
        if shape.enum and text not in shape.enum:
            raise Rejected(f'{where}: {text!r} is none of the {shape.name} in the model')
        pattern = shape.metadata.get('pattern')
        if pattern and not re.search(pattern, text):
            raise Rejected(f'{where}: {text!r} does not fit {pattern}')
        return text
    if kind in ('timestamp', 'blob'):
        return text
    raise Rejected(f'{where}: a {kind} cannot be sent in a form')


def read_shape(service, shape, prefix, form, used):
    """The value at prefix, or None when nothing was sent for it."""
    def below(name):
        return any(k == name or k.startswith(name + '.') for k in form)

    if shape.type_name == 'structure':
        value = {}
        for name, member in shape.members.items():
            wire = wire_name(service, name, member)
            path = f'{prefix}.{wire}' if prefix else wire
            if below(path):
                value[name] = read_shape(service, member, path, form, used)
        return value
    if shape.type_name == 'list':
        value = []
        inner = prefix
        if service != 'ec2' and not shape.serialization.get('flattened'):
            inner += '.' + shape.member.serialization.get('name', 'member')
        while below(f'{inner}.{len(value) + 1}'):
            value.append(read_shape(service, shape.member, f'{inner}.{len(value) + 1}',
                                    form, used))
        return value
    if prefix not in form:
        raise Rejected(f'{prefix}: a {shape.type_name} was sent with members')
    used.add(prefix)
    return read_scalar(shape, form[prefix], prefix)


# What EC2 takes by now and the model of Debian 12's botocore (2022) does not know.
NEWER = {'RegisterImage': 'TagSpecification.'}


def read_tag_specifications(form):
    specs = []
    while (kind := form.get(f'TagSpecification.{len(specs) + 1}.ResourceType')) is not None:
        at, tags = f'TagSpecification.{len(specs) + 1}.Tag', []
        while f'{at}.{len(tags) + 1}.Key' in form:
            n = len(tags) + 1
            tags.append({'Key': form[f'{at}.{n}.Key'], 'Value': form.get(f'{at}.{n}.Value', '')})
        specs.append({'ResourceType': kind, 'Tags': tags})
    return specs


def read_request(service, models, body):
    pairs = urllib.parse.parse_qsl(body, keep_blank_values=True, strict_parsing=True)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Rejected('a parameter was sent twice')
    model = models[service]
    if form.get('Version') != model.api_version:
        raise Rejected(f"version {form.get('Version')}, the model's is {model.api_version}")
    action = form.get('Action', '')
    if action not in model.operation_names:
        raise Rejected(f'the model does not know the action {action!r}')
    shape = model.operation_model(action).input_shape
    used, params = set(ENVELOPE), {}
    if shape is not None:
        params = read_shape(service, shape, '', form, used)
    newer = NEWER.get(action, '')
    unknown = sorted(k for k in set(form) - used if not (newer and k.startswith(newer)))
    if unknown:
        raise Rejected(f'{action} has no parameter {", ".join(unknown)}')
    if shape is not None:
        report = botocore.validate.ParamValidator().validate(params, shape)
        if report.has_errors():
            raise Rejected(f'{action}: {report.generate_report()}')
    if newer and 'TagSpecifications' not in params:
        params['TagSpecifications'] = read_tag_specifications(form)
    return action, params


def check_signature(handler, body, service):
    """Signs the request anew with botocore's signer and compares."""
    fields = re.fullmatch(
        r'AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?'
        r'SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})',
        handler.headers.get('Authorization', ''))
    if not fields:
        raise Refusal('MissingAuthenticationToken', 'Request is missing Authentication Token')
    key, date, region, signed_for, names, signature = fields.groups()
    if key != ACCESS_KEY:
        raise Refusal('AuthFailure', 'AWS was not able to validate the provided credentials')
    if (region, signed_for) != (REGION, service):
        raise Rejected(f'signed for {region}/{signed_for} and not {REGION}/{service}')
    url = f"http://{handler.headers['Host']}{handler.path}"
    request = botocore.awsrequest.AWSRequest('POST', url, data=body.encode())
    for name in names.split(';'):
        if name != 'host':
            request.headers[name] = handler.headers.get(name, '')
    request.context['timestamp'] = handler.headers.get('X-Amz-Date', '')
    if not request.context['timestamp'].startswith(date):
        raise Rejected('X-Amz-Date and the credential scope are of different days')
    signer = botocore.auth.SigV4Auth(
        botocore.credentials.Credentials(ACCESS_KEY, SECRET_KEY), service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(text, request) != signature:
        raise Refusal('SignatureDoesNotMatch', 'The request signature does not match')


# ---- Writing: answers by the model's output shapes ----

def escape(text):
    return (text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
            .replace('\r', '&#13;'))


def write_shape(shape, value, out):
    kind = shape.type_name
    if kind == 'structure':
        unknown = set(value) - set(shape.members)
        assert not unknown, f'{shape.name} has no member {unknown}'
        for name, member in shape.members.items():
            if value.get(name) is not None:
                tag = member.serialization.get('name', name)
                out.append(f'<{tag}>')
                write_shape(member, value[name], out)
                out.append(f'</{tag}>')
    elif kind == 'list':
        tag = shape.member.serialization.get('name', 'item')
        for item in value:
            out.append(f'<{tag}>')
            write_shape(shape.member, item, out)
            out.append(f'</{tag}>')
    elif kind == 'boolean':
        out.append('true' if value else 'false')
    else:
        text = str(value)
        if kind == 'string' and shape.enum:
            assert text in shape.enum, f'{shape.name} cannot be {text}'
        out.append(escape(text))


def page_of(result, params):
    """Cuts a list to MaxResults, with a token for the rest."""
    size, token = params.get('MaxResults'), params.get('NextToken')
    lists = [k for k, v in result.items() if isinstance(v, list)]
    if size is None or len(lists) != 1:
        return result
    start = int(token.split('-')[1]) if token else 0
    whole = result[lists[0]]
    page = {**result, lists[0]: whole[start:start + size]}
    if start + size < len(whole):
        page['NextToken'] = f'page-{start + size}'
    return page


def write_answer(service, model, action, result):
    out = []
    shape = model.operation_model(action).output_shape
    if shape is not None:
        write_shape(shape, result, out)
    request_id = str(uuid.uuid4())
    body = ''.join(out)
    namespace = model.metadata['xmlNamespace']
    if service == 'ec2':
        if shape is None:
            body = '<return>true</return>'
        return (f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response '
                f'xmlns="{namespace}"><requestId>{request_id}</requestId>{body}'
                f'</{action}Response>')
    return (f'<{action}Response xmlns="{namespace}"><{action}Result>{body}'
            f'</{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId>'
            f'</ResponseMetadata></{action}Response>')


def write_error(service, code, message):
    request_id = str(uuid.uuid4())
    error = f'<Code>{escape(code)}</Code><Message>{escape(message)}</Message>'
    if service == 'sts':
        return (f'<ErrorResponse><Error><Type>Sender</Type>{error}</Error>'
                f'<RequestId>{request_id}</RequestId></ErrorResponse>')
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>{error}'
            f'</Error></Errors><RequestID>{request_id}</RequestID></Response>')


# ---- Serving ----

class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def reply(self, status, body, kind='text/xml;charset=UTF-8'):
        data = body.encode()
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Api(Quiet):
    def note(self, **line):
        with self.server.lock:
            self.server.log.write(json.dumps(line) + '\n')
            self.server.log.flush()

    def service(self):
        scope = re.search(r'Credential=[^/]+/\d+/[^/]+/(\w+)/',
                          self.headers.get('Authorization', ''))
        return scope.group(1) if scope else 'ec2'

    def answer(self, body):
        service = self.service()
        if service not in self.server.models:
            raise Rejected(f'signed for the service {service!r}')
        kind = self.headers.get('Content-Type', '')
        if not kind.startswith('application/x-www-form-urlencoded'):
            raise Rejected(f'Content-Type {kind!r}')
        action, params = read_request(service, self.server.models, body)
        self.action = action
        check_signature(self, body, service)
        with self.server.lock:
            result = self.server.state.call(action, params)
        return write_answer(service, self.server.models[service], action,
                            page_of(result, params))

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0))).decode()
        self.action = dict(urllib.parse.parse_qsl(body)).get('Action', '')
        try:
            text = self.answer(body)
            self.note(action=self.action)
            self.reply(200, text)
        except Refusal as e:
            self.note(action=self.action, code=e.code)
            self.reply(e.status, write_error(self.service(), e.code, e.message))
        except Rejected as e:
            self.note(action=self.action, rejected=str(e))
            self.reply(400, write_error(self.service(), 'InvalidParameter', str(e)))
        except Exception as e:  # a fault of this program must show in the test
            self.note(action=self.action, rejected=f'fault of the endpoint: {e!r}')
            self.reply(500, write_error(self.service(), 'InternalError', repr(e)))

    def do_GET(self):
        self.note(action='GET', rejected='the Query protocol is spoken by POST here')
        self.reply(400, write_error('ec2', 'InvalidAction', 'POST'))


class Metadata(Quiet):
    """IMDSv2, as an instance with HttpTokens=required has it."""
    token = uuid.uuid4().hex

    def do_PUT(self):
        seconds = self.headers.get('X-aws-ec2-metadata-token-ttl-seconds', '')
        if self.path != '/latest/api/token' or not seconds.isdigit():
            return self.reply(400, '', 'text/plain')
        body = self.token.encode()
        self.send_response(200)
        self.send_header('X-aws-ec2-metadata-token-ttl-seconds', seconds)
        self.send_header('Content-Type', 'text/plain')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        keys = {'Code': 'Success', 'Type': 'AWS-HMAC', 'AccessKeyId': ACCESS_KEY,
                'SecretAccessKey': SECRET_KEY, 'Token': 'unused',
                'LastUpdated': '2026-01-01T00:00:00Z', 'Expiration': '2099-01-01T00:00:00Z'}
        identity = {'accountId': ACCOUNT, 'architecture': 'x86_64', 'region': REGION,
                    'availabilityZone': ZONE, 'instanceId': PROXY['InstanceId'],
                    'instanceType': PROXY['InstanceType'], 'version': '2017-09-30',
                    'privateIp': PROXY['PrivateIpAddress'], 'imageId': PROXY['ImageId'],
                    'pendingTime': '2026-01-01T00:00:00Z'}
        pages = {
            'dynamic/instance-identity/document': json.dumps(identity),
            'meta-data/placement/region': REGION,
            'meta-data/placement/availability-zone': ZONE,
            'meta-data/instance-id': PROXY['InstanceId'],
            'meta-data/instance-type': PROXY['InstanceType'],
            'meta-data/iam/security-credentials/': ROLE,
            f'meta-data/iam/security-credentials/{ROLE}': json.dumps(keys),
        }
        if self.headers.get('X-aws-ec2-metadata-token') != self.token:
            return self.reply(401, '', 'text/plain')
        page = pages.get(self.path.removeprefix('/latest/'))
        return self.reply(200 if page else 404, page or '', 'text/plain')


def serve(handler):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = os.path.abspath(sys.argv[1])
    session = botocore.session.Session()
    models = {name: session.get_service_model(name) for name in ('ec2', 'sts')}
    api, metadata = serve(Api), serve(Metadata)
    api.models, api.lock, api.state = models, threading.RLock(), State(root)
    api.log = open(os.path.join(root, 'requests.jsonl'), 'a', encoding='utf-8')
    env = {
        'AWS_ENDPOINT_URL': f'http://127.0.0.1:{api.server_port}',
        'AWS_EC2_METADATA_SERVICE_ENDPOINT': f'http://127.0.0.1:{metadata.server_port}',
        'AWS_ACCESS_KEY_ID': ACCESS_KEY,
        'AWS_SECRET_ACCESS_KEY': SECRET_KEY,
        'HOTADD_DEVICE_ROOT': os.path.join(root, 'dev'),
    }
    with open(os.path.join(root, 'env.new'), 'w', encoding='utf-8') as f:
        f.writelines(f"export {k}='{v}'\n" for k, v in env.items())
    os.rename(os.path.join(root, 'env.new'), os.path.join(root, 'env'))
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == '__main__':
    main()
