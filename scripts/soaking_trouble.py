"""What goes wrong around Purser while scripts/soak_wallet puts load on it, and how it is made to.

Not run by itself. A replica set of three mongods that can be killed, stopped and made to fail; a proxy
before each Purser that cuts connections; and `Trouble`, which does all that in turn, in a thread of
its own. One trouble at a time is made and ended, except that what is set to happen at the next
commands or answers (fail points, cuts) lasts into the next one.
"""

import collections
import contextlib
import select
import signal
import socket
import struct
import threading
import time

import mongo_command
from soaking import READY_SECONDS, Failure, free_ports, launch

SET = "rs0"
MEMBERS = 3
ELECTION_MS = 1500
HEARTBEAT_MS = 500
HEALTHY_SECONDS = 240  # after whatever was done to it
PRIMARY, SECONDARY = 1, 2
NOT_YET_INITIALIZED, UNREACHABLE = 94, (OSError, ValueError, struct.error)


# --- the database ------------------------------------------------------------------------------------


class Member:
    """One mongod."""

    def __init__(self, home, binary, port):
        self.address = f"127.0.0.1:{port}"
        self.folder = home / f"mongod-{port}"
        self.folder.mkdir()
        self.log = home / f"mongod-{port}.log"
        self.command = [binary, "--replSet", SET, "--bind_ip", "127.0.0.1", "--port", str(port)]
        self.command += ["--dbpath", self.folder, "--nounixsocket"]
        self.command += ["--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.25"]
        self.command += ["--syncdelay", "5"]  # else a rollback before the first checkpoint takes minutes
        for parameter in (
            "enableTestCommands=1",
            "transactionLifetimeLimitSeconds=5",
            "diagnosticDataCollectionEnabled=false",
        ):
            self.command += ["--setParameter", parameter]
        self.process = None

    def start(self):
        self.process = launch(self.command, self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, document, timeout=2.0):
        return mongo_command.command(self.address, document, timeout)

    def is_primary(self):
        try:
            return self.ask({"hello": 1}, 1.0).get("isWritablePrimary") is True
        except UNREACHABLE:
            return False


class ReplicaSet:
    def __init__(self, home, binary):
        self.members = [Member(home, binary, port) for port in free_ports(MEMBERS)]
        hosts = ",".join(member.address for member in self.members)
        self.uri = f"mongodb://{hosts}/?replicaSet={SET}"

    def start(self):
        for member in self.members:
            member.start()
        members = [{"_id": place, "host": one.address} for place, one in enumerate(self.members)]
        settings = {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": HEARTBEAT_MS}
        initiate = {"replSetInitiate": {"_id": SET, "members": members, "settings": settings}}
        until(lambda: self.initiated(initiate), READY_SECONDS, "the replica set does not start")
        self.recover()

    def initiated(self, initiate):
        try:
            answers = [member.ask({"replSetGetStatus": 1}) for member in self.members]
        except UNREACHABLE:
            return False
        if any(answer.get("code") == NOT_YET_INITIALIZED for answer in answers):
            with contextlib.suppress(*UNREACHABLE):
                self.members[0].ask(initiate, READY_SECONDS)
            return False
        return True

    def primary(self):
        """Whoever is, once somebody is (of two, the one that has not noticed yet may be meant)."""
        found = []

        def somebody():
            found[:] = [member for member in self.members if member.is_primary()]
            return found

        until(somebody, HEALTHY_SECONDS, "there is no primary")
        return found[0]

    def recover(self):
        until(self.is_healthy, HEALTHY_SECONDS, "the replica set does not get well")

    def is_healthy(self):
        """Whether all members are, and agree on who is primary."""
        seen = set()
        for member in self.members:
            try:
                status = member.ask({"replSetGetStatus": 1})
            except UNREACHABLE:
                return False
            states = [(one["name"], one["state"]) for one in status.get("members", [])]
            primaries = [name for name, state in states if state == PRIMARY]
            well = all(state in (PRIMARY, SECONDARY) for _, state in states)
            if len(states) != MEMBERS or len(primaries) != 1 or not well:
                return False
            seen.update(primaries)
        return len(seen) == 1

    def everything_in(self, collection, fields):
        """Its documents as a majority knows them, with only these fields of them."""
        primary = self.primary()
        find = {"find": collection, "projection": dict.fromkeys(fields, 1), "batchSize": 2000}
        find |= {"readConcern": {"level": "majority"}, "$db": "purser"}
        documents = []
        while find:
            answer = primary.ask(find, 60.0)
            if not answer.get("ok"):
                raise Failure(f"reading {collection}: {answer}")
            cursor = answer["cursor"]
            documents += cursor.get("firstBatch") or cursor.get("nextBatch") or []
            more = {"getMore": cursor["id"], "collection": collection, "batchSize": 2000, "$db": "purser"}
            find = more if cursor["id"] else None
        return documents


def until(is_so, seconds, otherwise):
    """Waits for it, looking often."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f"{otherwise} within {seconds} s")
        time.sleep(0.05)


# --- the network -------------------------------------------------------------------------------------

ANSWER, HALF, REQUEST = "whole answer lost", "half an answer lost", "hung up before the answer"
CUTS = (ANSWER, HALF, REQUEST)
CREATED = b"HTTP/1.1 201"


class Proxy:
    """Stands before one Purser. What is in `cuts` happens to the next connections that are used."""

    def __init__(self, target):
        self.target = target
        (self.port,) = free_ports(1)
        self.cuts = collections.deque()
        self.made = collections.Counter()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        with client, contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.target), 5) as server:
                for end in (client, server):
                    end.settimeout(None)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.carry(client, server)

    def carry(self, client, server):
        """Until one of them hangs up, or the connection is cut."""
        while True:
            for end in select.select([client, server], [], [])[0]:
                data = end.recv(1 << 16)
                if not data:
                    return
                cut = self.cut(data, end is server)
                if end is client:
                    server.sendall(data)
                elif cut == HALF:
                    client.sendall(data[: (data.index(b"\r\n\r\n") + 4 + len(data)) // 2])
                elif cut is None:
                    client.sendall(data)
                if cut:
                    return

    def cut(self, data, is_answer):
        """What is done to this data: the next cut, if it is one for such."""
        fits = data.startswith(b"HTTP/1.1 ") if is_answer else data.endswith(b"}")
        try:
            if not fits or (self.cuts[0] == REQUEST) == is_answer:
                return None
            cut = self.cuts.popleft()
        except IndexError:
            return None
        if cut == HALF and b"\r\n\r\n" not in data[:-1]:
            cut = ANSWER
        self.made[cut] += 1
        self.made["201 lost"] += data.startswith(CREATED)
        return cut


# --- what is done to both ----------------------------------------------------------------------------


def failures():
    """What the next commands of Purser meet: errors before a commit, errors after it, lost answers."""

    def fails(command, **how):
        return {"failCommands": [command], **how}

    def concern(code):
        return {"writeConcernError": {"code": code, "errmsg": "a test"}}

    passing = {"errorLabels": ["TransientTransactionError"]}
    return [
        fails("commitTransaction", errorCode=91),
        fails("commitTransaction", errorCode=11602),
        fails("commitTransaction", errorCode=251, **passing),
        fails("commitTransaction", closeConnection=True),
        fails("commitTransaction", **concern(91)),
        fails("commitTransaction", **concern(64)),
        fails("commitTransaction", blockConnection=True, blockTimeMS=6000),
        fails("insert", errorCode=112, **passing),
        fails("insert", errorCode=251, **passing),
        fails("insert", closeConnection=True),
        fails("update", errorCode=112, **passing),
        fails("update", errorCode=11602, **passing),
        fails("update", closeConnection=True),
        fails("find", closeConnection=True),
    ]


class Trouble(threading.Thread):
    """Each kind in turn, in rounds of their own order, until it is told to end."""

    def __init__(self, replica_set, nodes, proxies, calm_seconds, chance):
        super().__init__(daemon=True)
        self.calm_seconds = calm_seconds
        self.set, self.nodes, self.proxies, self.chance = replica_set, nodes, proxies, chance
        self.over = threading.Event()
        self.counts = collections.Counter()
        self.now = "nothing yet"
        self.problems = []
        self.kinds = {
            "kill -9 of a Purser": self.kill_purser,
            "a Purser ended in order": self.end_purser,
            "a Purser stopped for seconds": self.stop_purser,
            "kill -9 of a mongod": self.kill_mongod,
            "kill -9 of the primary": self.kill_primary,
            "kill -9 of the primary and a Purser": self.kill_both,
            "the primary steps down": self.step_down,
            "a mongod stopped for seconds": self.stop_mongod,
            "the primary stopped for seconds": self.stop_primary,
            "no majority for seconds": self.stop_majority,
            "the primary dies with what nobody else has": self.strand_primary,
            "commands fail": self.fail_commands,
            "connections are cut": self.cut_connections,
        }

    def run(self):
        try:
            while not self.over.is_set():
                for kind in self.chance.sample(list(self.kinds), len(self.kinds)):
                    if self.over.wait(self.chance.uniform(*self.calm_seconds)):
                        return
                    self.look_after_all()
                    self.now = kind
                    self.kinds[kind]()
                    self.counts[kind] += 1
                    self.set.recover()
        except Exception as error:  # a thread must not end in silence
            self.problems.append(f"{self.now}: {error!r}")

    def end(self):
        """No more of it; all that runs is well."""
        self.over.set()
        self.join()
        for proxy in self.proxies:
            proxy.cuts.clear()
        self.set.recover()
        for member in self.set.members:
            member.ask({"configureFailPoint": "failCommand", "mode": "off"})

    def is_complete(self):
        return all(self.counts[kind] for kind in self.kinds)

    def look_after_all(self):
        for one in [*self.nodes, *self.set.members]:
            if one.process.poll() is not None:
                raise Failure(f"it ended by itself with status {one.process.returncode}; see {one.log}")

    def pause(self, least, most):
        time.sleep(self.chance.uniform(least, most))

    # Purser

    def start_purser(self, node):
        """As a supervisor would: again and again. Without a database it may end at once."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                node.start()
                return
            except Failure:
                if node.process.poll() is None or time.monotonic() > deadline:
                    raise
                self.counts["a Purser that had to be started again"] += 1
                time.sleep(0.2)

    def kill_purser(self):
        node = self.chance.choice(self.nodes)
        node.kill()
        self.pause(0.0, 1.0)
        self.start_purser(node)

    def end_purser(self):
        node = self.chance.choice(self.nodes)
        status = node.stop()
        if status != 0:
            self.problems.append(f"Purser ended with status {status} after SIGTERM; see {node.log}")
        self.start_purser(node)

    def stop_purser(self):
        """Longer than MongoDB keeps its transaction, sometimes."""
        process = self.chance.choice(self.nodes).process
        process.send_signal(signal.SIGSTOP)
        self.pause(1.0, 8.0)
        process.send_signal(signal.SIGCONT)

    # MongoDB

    def kill_mongod(self):
        self.kill_one(self.chance.choice(self.set.members))

    def kill_primary(self):
        self.kill_one(self.set.primary())

    def kill_one(self, member):
        member.kill()
        self.pause(0.0, 3.0)
        member.start()

    def kill_both(self):
        primary, node = self.set.primary(), self.chance.choice(self.nodes)
        primary.kill()
        node.kill()
        self.pause(0.0, 1.0)
        primary.start()
        self.start_purser(node)

    def step_down(self):
        command = {"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2, "force": True}
        with contextlib.suppress(*UNREACHABLE):  # it may hang up on who asked for that
            self.set.primary().ask(command, 10.0)

    def stop_mongod(self):
        self.stop_some([self.chance.choice(self.set.members)], 6.0)

    def stop_primary(self):
        self.stop_some([self.set.primary()], 6.0)

    def stop_majority(self):
        self.stop_some(self.chance.sample(self.set.members, 2), 4.0)

    def strand_primary(self):
        """Nobody copies what it commits, for longer than Purser waits: what it has told callers by then,
        also those who ask again, must not be among what dies with it."""
        primary = self.set.primary()
        others = [member for member in self.set.members if member is not primary]
        copying = {"configureFailPoint": "stopReplProducer"}
        for other in others:
            other.ask({**copying, "mode": "alwaysOn"})
        self.pause(5.0, 9.0)
        primary.kill()
        for other in others:
            other.ask({**copying, "mode": "off"})
        self.pause(0.0, 1.0)
        primary.start()

    def stop_some(self, members, seconds):
        for member in members:
            member.pause()
        self.pause(1.0, seconds)
        for member in members:
            member.resume()

    def fail_commands(self):
        """On all members, whoever of them is primary when it happens."""
        data = {**self.chance.choice(failures()), "appName": "purser"}
        fail = {"configureFailPoint": "failCommand", "data": data}
        times = self.chance.randint(1, 5)
        for member in self.set.members:
            member.ask({**fail, "mode": {"times": times}})
        self.pause(0.5, 2.0)

    # the network

    def cut_connections(self):
        for proxy in self.proxies:
            proxy.cuts.extend(self.chance.choices(CUTS, k=self.chance.randint(5, 20)))
        self.pause(0.5, 2.0)
