"""A cloud on this machine: moto, and in front of it what moto does not have.

    python test/cloud/server.py --node NODE --image URI=PYTHON [--port N] [--folder F] [--pace S]

When it answers, it prints one line of JSON: the endpoint and the root's keys. It takes orders
(quotas, faults, spot interruptions) as POST /_cloud/<order>, which no client of AWS knows of.
"""

import argparse
import io
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from buckets import Buckets
from call import Call
from faults import Faults
from identity import ACCOUNT, Identities, Principal, Session, verify_signature
from images import Image, Images
from judge import Judge
from pricing import products
from quotas import Quotas
from simulate import simulate
from training import Settings, Training
from wire import AwsError, error_response, json_response, xml_response


class Cloud:
    """The WSGI application: who asks, may they, what breaks today, who answers."""

    def __init__(self, endpoint: str, folder: Path, node: str, settings: Settings) -> None:
        self.identities, self.judge, self.faults = Identities(), Judge(node), Faults()
        self.images, self.quotas, self.buckets = Images(), Quotas(), Buckets()
        self.training = Training(
            self.identities,
            self.judge,
            self.images,
            self.quotas,
            self._look,
            folder,
            endpoint,
            settings,
        )
        self.trace: list[dict] = []
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._apps: dict[str, Flask] = {}  # moto's, by service: finding one takes it a millisecond
        self._lock = threading.Lock()

    def __call__(self, environ, start_response):
        request = Request(environ)
        body = request.get_data()
        if request.path.startswith("/_credentials/"):
            answer = self._credentials(request)
        elif request.path.startswith("/_cloud/"):
            answer = self._order(request)
        else:
            environ["wsgi.input"] = io.BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
            answer = self._service(request, environ)
        return answer(environ, start_response)

    def _service(self, request: Request, environ):
        service, traced = "?", {"began": time.monotonic()}
        try:
            call = Call.of(request)
            service = call.service
            token = request.headers.get("X-Amz-Security-Token")
            principal, secret = self.identities.principal(call.key, token)
            verify_signature(
                request, service, call.region, call.key, secret, call.signed, call.signature
            )
            lost = self._admit(call, principal, traced)
            answer = self._answer(call, principal)
            if answer is None:
                answer = Response.from_app(self._app(service, environ), environ)
        except AwsError as error:
            return error_response(service, error)
        finally:
            traced["ended"] = time.monotonic()
        if lost:
            self._carry_out(answer, environ)
            return _drop
        return answer

    def _admit(self, call: Call, principal: Principal, traced: dict) -> bool:
        """Traces a call and raises what it is refused with; True if its answer is to be lost."""
        with self._lock:
            traced.update(
                {
                    "service": call.service,
                    "operation": call.operation,
                    "principal": principal.session,
                    "values": call.values,
                    "needs": [[need.action, need.resource, need.context] for need in call.needs],
                }
            )
            self.trace.append(traced)
        lost = self.faults.take(call.operation, call.values)
        self.buckets.refuse(call)
        for need in call.needs:
            self.judge.demand(principal, need)
        return lost

    def _look(self, session: Session, region: str, bucket: str, prefix: str) -> bool:
        """Whether S3 has anything there, for a service that looks in the name of a role."""
        call = Call.listing(session.key, region, bucket, prefix)
        traced = {"began": time.monotonic()}
        try:
            self._admit(call, self.identities.principal(session.key, session.token)[0], traced)
            return self.buckets.has_objects(bucket, prefix)
        finally:
            traced["ended"] = time.monotonic()

    def _app(self, service: str, environ) -> Flask:
        if service not in self._apps:
            self._apps[service] = self._moto.get_application(environ)
        return self._apps[service]

    def _answer(self, call: Call, principal):
        """The answer of a service that moto lacks; None where moto answers."""
        match call.service, call.operation:
            case "sagemaker", operation:
                return json_response(self.training.answer(operation, call.values, call.region))
            case "servicequotas", operation:
                return json_response(self.quotas.answer(operation, call.values))
            case "pricing", "GetProducts":
                return json_response(products(call.values))
            case "ecr", "DescribeImages":
                return json_response(self.images.describe(call.values))
            case "iam", "SimulatePrincipalPolicy":
                return xml_response(
                    "iam", call.operation, simulate(call.values, self.identities, self.judge)
                )
            case "sts", "GetCallerIdentity":
                who = f"<Arn>{principal.session}</Arn><UserId>AIDA</UserId>"
                told = f"{who}<Account>{ACCOUNT}</Account>"
                return xml_response("sts", call.operation, told)
        return None

    def _carry_out(self, answer, environ) -> None:
        for _ in answer(environ, lambda *_: None):
            pass

    def _credentials(self, request: Request) -> Response:
        """What a container is told when it asks for its role's credentials."""
        session = self.identities.session(request.path.rpartition("/")[2])
        if session is None:
            return Response(status=404)
        return Response(
            json.dumps(
                {
                    "AccessKeyId": session.key,
                    "SecretAccessKey": session.secret,
                    "Token": session.token,
                    "Expiration": session.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "RoleArn": session.role_arn,
                }
            ),
            content_type="application/json",
        )

    def _order(self, request: Request) -> Response:
        """Orders of a test. Each is a JSON object."""
        order, given = request.path.rpartition("/")[2], json.loads(request.get_data() or b"{}")
        match order:
            case "quota":
                self.quotas.set(given["name"], given["value"], given.get("applied", True))
            case "fault":
                self.faults.order(**given)
            case "stranger":
                self.buckets.strangers.add(given["bucket"])
            case "image":
                self.images.add(Image(given["uri"], given["digest"], given.get("python")))
            case "capacity":
                self.training.capacity.missing[given["kind"]] = given["starts"]
            case "lag":
                self.training.lag = given["reads"]
            case "kill":
                if not self.training.jobs[given["job"]].kill():
                    return Response(f"{given['job']} has no container", status=409)
            case "interrupt" if "at" in given:
                self.training.interruptions[given["job"]] = given["at"]
            case "interrupt":
                self.training.jobs[given["job"]].interrupt()
            case "logs":
                self.training.settings.log_delay = given["delay"]
            case "expire":
                self.identities.expire(given["key"])
            case "trace":
                with self._lock:
                    trace, self.trace = self.trace, []
                return Response(json.dumps(trace, default=str), content_type="application/json")
            case "bugs":
                return Response(json.dumps(self.training.bugs), content_type="application/json")
            case _:
                return Response(f"no order {order}", status=404)
        return Response("{}", content_type="application/json")

    def close(self) -> None:
        self.training.close()
        self.judge.close()


def _drop(environ, start_response):
    """Ends the connection without an answer."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


class Handler(WSGIRequestHandler):
    """Keeps connections open, as AWS does, and keeps quiet."""

    protocol_version = "HTTP/1.1"
    # The body of an answer is not kept until its head was received.
    disable_nagle_algorithm = True

    def make_environ(self):
        return {**super().make_environ(), "werkzeug.socket": self.connection, "RAW_URI": self.path}

    def log(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description="A cloud on this machine.")
    parser.add_argument("--node", required=True, help="a Node.js that runs TypeScript")
    parser.add_argument(
        "--image", action="append", default=[], help="URI=PYTHON: what a container of it runs"
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the jobs' containers live")
    parser.add_argument(
        "--pace", type=float, default=0.05, help="seconds a step of the service takes"
    )
    parser.add_argument(
        "--grace", type=float, default=120.0, help="seconds between SIGTERM and SIGKILL"
    )
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input does")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="cloud-"))
    cloud: Cloud | None = None
    server = make_server(
        "127.0.0.1",
        given.port,
        lambda environ, start: cloud(environ, start),
        threaded=True,
        request_handler=Handler,
    )
    endpoint = f"http://127.0.0.1:{server.port}"
    cloud = Cloud(endpoint, folder, given.node, Settings(given.pace, given.grace))
    for number, pair in enumerate(given.image):
        uri, _, python = pair.partition("=")
        cloud.images.add(Image(uri, f"sha256:{number:064x}", python or None))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    if given.until_eof:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    ready = {
        "endpoint": endpoint,
        "account": ACCOUNT,
        "accessKeyId": cloud.identities.root_key,
        "secretAccessKey": cloud.identities.root_secret,
        "folder": str(folder),
        "at": datetime.now(UTC).isoformat(),
    }
    print(json.dumps(ready), flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        cloud.close()
        # At once: threads of jobs may still wait for answers of this very server.
        os._exit(0)


if __name__ == "__main__":
    main()
