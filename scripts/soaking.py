"""What scripts/soak, scripts/soak_wallet and scripts/soak_modules stand on: a client, a Purser and a MongoDB of their own.

Not run by itself. Processes that are started here belong to the run alone, and end with it.
"""

import base64
import dataclasses
import http.client
import json
import os
import pathlib
import random
import secrets
import shlex
import signal
import socket
import subprocess
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent

READY_SECONDS = 60
DRAIN_SECONDS = 30
REQUEST_SECONDS = 60  # longer than Purser's own deadlines: a late answer is an answer
LIMIT_MAX = 1_000_000_000  # the most that a rate limit can say


def say(text):
    print(text, flush=True)


class Failure(Exception):
    """The soak itself cannot go on."""


# --- HTTP --------------------------------------------------------------------------------------------


class NoAnswer(Exception):
    """The connection broke: the request had its effect, or had not."""


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: object
    seconds: float

    def describe(self):
        return f"{self.status} {json.dumps(self.body)[:300]}"


class Client:
    """One keep-alive connection, for one thread."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def request(
        self,
        method,
        path,
        key=None,
        body=None,
        idempotency_key=None,
        address=None,
        if_match=None,
        patience=REQUEST_SECONDS,
    ):
        headers = {}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if if_match:
            headers["If-Match"] = if_match
        if address:
            headers["Purser-Client-IP"] = address
        started = time.monotonic()
        try:
            response, data = self.exchange(method, path, body, headers, patience)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(str(error) or type(error).__name__) from error
        if response.will_close:
            self.close()
        try:
            parsed = json.loads(data) if data else None
        except ValueError:
            parsed = data.decode(errors="replace")
        answer_headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answer_headers, parsed, time.monotonic() - started)

    def exchange(self, method, path, body, headers, patience):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        elif self.connection.sock is not None:
            self.connection.sock.settimeout(patience)
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response, response.read()

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def get(client, path, key):
    """A read that must succeed (None: there is no such thing), with patience for a busy service."""
    for _ in range(20):
        answer = client.request("GET", path, key)
        if answer.status == 200:
            return answer.body
        if answer.status == 404:
            return None
        if answer.status != 429 and answer.status < 500:
            break
        time.sleep(0.5)
    raise Failure(f"GET {path}: {answer.describe()}")


def register_app(client, keys, app_id, trust="first_party", permissions=("read", "write"), **more):
    """The key of an app whose limits are none: the demo's are for people, not for this load."""
    limits = {"requests_per_minute": LIMIT_MAX, "requests_per_hour": LIMIT_MAX}
    body = {
        "app_id": app_id,
        "name": f"Soak: {app_id}",
        "trust": trust,
        "permissions": list(permissions),
        "rate_limits": limits,
        "total_rate_limits": limits,
        **more,
    }
    answer = client.request("POST", "/v1/admin/apps", keys["PURSER_ADMIN_KEY"], body)
    if answer.status != 201:
        raise Failure(f"registering an app: {answer.describe()}")
    return answer.body["key"]


# --- the service and its database --------------------------------------------------------------------

given = set()  # ports that were handed out already
children, over = [], threading.Event()
lock = threading.Lock()  # of these


def free_ports(count):
    """Ports below those that the system hands out to clients: a client that waits for Purser must not
    be given Purser's own port to call from."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        with lock:
            if port not in given:
                given.add(port)
                ports.append(port)
    return ports


def launch(command, log, environment=None):
    """Starts a process that says what it says in `log`, unless `end_children` was called."""
    with lock, log.open("ab") as output:
        if over.is_set():
            raise Failure("it is over")
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this program, which then stops things in order
        )
        children.append(child)
        return child


def end_children():
    """Kills what was launched and still runs, also what is stopped, and lets nothing start any more."""
    with lock:
        over.set()
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)  # with what it has started itself
        child.wait()


class Purser:
    """One process of the service, and the commands of its binary. Those in one home share secrets."""

    def __init__(self, home, binary, port, store_uri, log="purser.log", **settings):
        self.home = home
        self.binary = binary
        self.port = port
        self.log = home / log
        self.process = None
        self.environment = {
            **os.environ,
            "PURSER__SERVER__PORT": str(self.port),
            "PURSER__METRICS__PORT": "0",
            "PURSER__CRYPTO__MASTER_KEYS_FILE": str(self.secret("master_keys", "m1")),
            "PURSER__CRYPTO__PEPPERS_FILE": str(self.secret("peppers", "p1")),
            "PURSER__TRAIL__SIGNING_KEY_FILE": str(self.secret("signing_key", "soak/trail")),
            "PURSER__STORE__URI": store_uri,
            **settings,
        }

    def secret(self, name, key_id):
        file = self.home / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(f"{key_id}:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        return file

    def prepare(self):
        """Creates the database with its demo data; the keys of the demo."""
        keys = self.home / "dev.env"
        url = f"http://127.0.0.1:{self.port}"
        self.command("migrate")
        self.command("seed", "--env-file", str(keys), "--url", url)
        words = shlex.split(keys.read_text(), comments=True)
        return dict(word.split("=", 1) for word in words if "=" in word)

    def command(self, *arguments):
        """What a command of the binary prints."""
        with self.log.open("ab") as log:
            done = subprocess.run(
                [self.binary, *arguments],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )
            log.write(done.stdout.encode())
        if done.returncode != 0:
            raise Failure(f"purser {arguments[0]} failed; see {self.log}")
        return done.stdout

    def start(self):
        """Starts Purser; how long it took until it was ready."""
        started = time.monotonic()
        self.process = launch([self.binary, "serve"], self.log, self.environment)
        client = Client(self.port)
        while time.monotonic() - started < READY_SECONDS:
            if self.process.poll() is not None:
                raise Failure(f"purser serve ended with {self.process.returncode}; see {self.log}")
            try:
                if client.request("GET", "/readyz").status == 200:
                    client.close()
                    return time.monotonic() - started
            except NoAnswer:
                pass
            time.sleep(0.01)
        raise Failure(f"Purser was not ready within {READY_SECONDS} s; see {self.log}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """Ends Purser as an operator would; its exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.terminate()
        try:
            return process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class House(Purser):
    """A Purser with a MongoDB of one node."""

    def __init__(self, home, binary, arguments):
        free = free_ports(2)
        super().__init__(home, binary, arguments.port or free[0], store_uri="")
        self.environment["PURSER_HOME"] = str(home)
        self.environment["PURSER_MONGOD_PORT"] = str(arguments.mongod_port or free[1])
        self.environment["PURSER__STORE__URI"] = self.mongod("uri").strip()

    def mongod(self, what):
        return mongod(what, self.environment)


def mongod(what, environment=None):
    """What `scripts/mongod <what>` prints."""
    done = subprocess.run(
        [REPOSITORY / "scripts" / "mongod", what],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Failure(f"scripts/mongod {what} failed.")
    return done.stdout


def build():
    say("Building Purser ...")
    subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "purser"], cwd=REPOSITORY, check=True)
    described = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"],
        cwd=REPOSITORY,
        check=True,
        stdout=subprocess.PIPE,
    )
    return pathlib.Path(json.loads(described.stdout)["target_directory"]) / "release" / "purser"
