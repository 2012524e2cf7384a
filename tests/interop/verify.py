#!/usr/bin/env python3
"""Verifies what an audit trail exports, without any code of the service: `docs/trail.md` is all
that this was written from. Needs Python 3.8 and the package `cryptography` (for Ed25519 only).

    verify.py bundle      --key KEY [--kept NOTE [--consistency FILE]] BUNDLE
    verify.py inclusion   --key KEY [--kept NOTE] [--entry FILE] PROOF
    verify.py consistency --key KEY [--kept NOTE] PROOF

KEY is a public key as text, `<name>+<id>+<key>`; give --key once for each key you trust.
NOTE is a checkpoint you have kept yourself. Without it the answer is only that the log agrees with
itself; with it, that the log still tells the history it told you then. A bundle made at another
size than the kept checkpoint also needs the consistency proof between the two.

Prints what was proved and each problem; exits with 0 when there is none, 1 when there is one, and
2 when it was not called as above.
"""

import argparse
import base64
import hashlib
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LINE_BYTES_MAX = 64 * 1024 * 1024
NOTE_BYTES_MAX = 64 * 1024
SIGNATURES_MAX = 32
HASH = re.compile(rb'"([A-Za-z0-9+/]{43}=)"')
ENTRY = re.compile(rb'\{"leaf":(0|[1-9][0-9]{0,19}),"proof":\[([^\]]*)\],"entry":(.*)\}', re.DOTALL)
END = re.compile(rb'\{"entries":(0|[1-9][0-9]{0,19})\}')


class Wrong(Exception):
    """What was checked is not right, and why."""


def demand(condition, why):
    if not condition:
        raise Wrong(why)


# Hashes


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Wrong("not base64") from None
    given = text if isinstance(text, bytes) else text.encode()
    demand(base64.b64encode(data) == given, "not base64 in its one form")
    return data


def unhash(text):
    data = unbase64(text)
    demand(len(data) == 32, "a hash has 32 bytes")
    return data


# Proofs


def verify_inclusion(leaf, data_hash, size, root, proof):
    demand(0 <= leaf < size, "there is no such leaf in a tree of this size")
    at, last, calculated = leaf, size - 1, data_hash
    for beside in proof:
        demand(last != 0, "the proof is too long")
        if at & 1 or at == last:
            calculated = node_hash(beside, calculated)
            while not at & 1 and at != 0:
                at, last = at >> 1, last >> 1
        else:
            calculated = node_hash(calculated, beside)
        at, last = at >> 1, last >> 1
    demand(last == 0, "the proof is too short")
    demand(calculated == root, "the proof leads to another root")


def verify_consistency(old_size, old_root, new_size, new_root, proof):
    demand(old_size <= new_size, "the old tree is the larger one")
    if old_size == 0 or old_size == new_size:
        demand(not proof, "the proof is too long")
        demand(old_size != 0 or old_root == EMPTY_ROOT, "an empty tree has another root")
        demand(old_size != new_size or old_root == new_root, "two roots for one size")
        return
    proof = list(proof)
    if old_size & (old_size - 1) == 0:
        proof.insert(0, old_root)
    demand(proof, "the proof is too short")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = proof[0]
    for beside in proof[1:]:
        demand(last != 0, "the proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(beside, old), node_hash(beside, new)
            while not at & 1 and at != 0:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, beside)
        at, last = at >> 1, last >> 1
    demand(last == 0, "the proof is too short")
    demand(old == old_root, "the proof leads to another root of the older tree")
    demand(new == new_root, "the proof leads to another root")


# Keys and checkpoints


def check_name(name):
    fits = 1 <= len(name.encode()) <= 200 and not re.search(r"[\s+\x00-\x1f\x7f-\x9f]", name)
    demand(fits, "a key's name has 1 to 200 bytes, no spaces and no +")


class Key:
    def __init__(self, text):
        parts = text.split("+", 2)
        demand(len(parts) == 3, "a key is <name>+<id>+<key>")
        self.name, data = parts[0], unbase64(parts[2])
        check_name(self.name)
        demand(len(data) == 33 and data[0] == 1, "not an Ed25519 key")
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        demand(self.id.hex() == parts[1], "the id is not that of name and key")
        self.public = Ed25519PublicKey.from_public_bytes(data[1:])


class Checkpoint:
    def __init__(self, note, keys):
        demand(len(note) <= NOTE_BYTES_MAX, "the checkpoint is too long")
        demand(not re.search("[\x00-\x09\x0b-\x1f]", note), "control characters in the checkpoint")
        text, blank, signatures = note.rpartition("\n\n")
        demand(blank and signatures.endswith("\n"), "no signed note")
        lines = text.split("\n")
        demand(len(lines) >= 3 and all(lines), "a checkpoint has three lines, none of them empty")
        demand(re.fullmatch("0|[1-9][0-9]{0,19}", lines[1]), "the size is no number")
        self.origin, self.size, self.root = lines[0], int(lines[1]), unhash(lines[2])
        demand(self.size < 2**64, "the size is no number")
        demand(self.size > 0 or self.root == EMPTY_ROOT, "an empty tree has another root")
        self.signed_by(text + "\n", signatures[:-1].split("\n"), keys)

    @staticmethod
    def signed_by(text, lines, keys):
        demand(len(lines) <= SIGNATURES_MAX, "too many signatures")
        vouched = False
        for line in lines:
            parts = line.split(" ")
            demand(len(parts) == 3 and parts[0] == "\u2014", "no signature line")
            check_name(parts[1])
            data = unbase64(parts[2])
            demand(len(data) > 4, "no signature line")
            for key in keys:
                if key.name == parts[1] and key.id == data[:4]:
                    try:
                        key.public.verify(data[4:], text.encode())
                    except InvalidSignature:
                        raise Wrong(f"the signature of {key.name} does not fit") from None
                    vouched = True
        demand(vouched, "the checkpoint is not signed with a key that was given")

    def __str__(self):
        return f"{self.origin}, {self.size} entries, root {base64.b64encode(self.root).decode()}"


# The canonical form of an entry


def canonical(value):
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(n) + ":" + canonical(value[n]) for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    demand(value is None or isinstance(value, (bool, str)), "a number in the canonical form")
    return json.dumps(value, ensure_ascii=False)


def read_entry(data):
    try:
        entry = json.loads(data.decode("utf-8"))
        same = canonical(entry).encode("utf-8") == data
    except (ValueError, RecursionError):
        raise Wrong("the entry is no JSON") from None
    demand(same and isinstance(entry, dict), "the entry is not in canonical form")
    return entry


# What can be asked


def check_kept(kept, other, consistency):
    """Whether the kept checkpoint and another one are of one history."""
    demand(kept.origin == other.origin, "the kept checkpoint is of another log")
    if kept.size == other.size:
        demand(kept.root == other.root, "the log DISAGREES with the kept checkpoint")
    else:
        demand(consistency, "the kept checkpoint has another size: --consistency is needed")
        first, second = sorted((kept, other), key=lambda checkpoint: checkpoint.size)
        old, new, proof = consistency
        ends = [(c.origin, c.size, c.root) for c in (first, second, old, new)]
        demand(ends[:2] == ends[2:], "the consistency proof is between other checkpoints")
        verify_consistency(old.size, old.root, new.size, new.root, proof)
    print(f"agrees with the kept checkpoint: {kept}")


def read_json(path):
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError:
            raise Wrong(f"{path} is no JSON") from None


def read_consistency(path, keys):
    proof = read_json(path)
    old, new = Checkpoint(proof["from"], keys), Checkpoint(proof["to"], keys)
    return old, new, [unhash(text) for text in proof["proof"]]


def read_kept(arguments, keys):
    if arguments.kept is None:
        print("no kept checkpoint: this shows only that the log agrees with itself")
        return None
    with open(arguments.kept, encoding="utf-8", newline="") as file:
        return Checkpoint(file.read(), keys)


def consistency(arguments, keys):
    old, new, proof = read_consistency(arguments.file, keys)
    demand(old.origin == new.origin, "these checkpoints are of two logs")
    verify_consistency(old.size, old.root, new.size, new.root, proof)
    print(f"{new}\nbegins with all of\n{old}")
    kept = read_kept(arguments, keys)
    if kept:
        same = [c for c in (old, new) if c.size == kept.size]
        demand(same, "the kept checkpoint is neither of the two")
        check_kept(kept, same[0], None)


def inclusion(arguments, keys):
    proof = read_json(arguments.file)
    checkpoint = Checkpoint(proof["checkpoint"], keys)
    data_hash = unhash(proof["leaf_hash"])
    if arguments.entry:
        with open(arguments.entry, "rb") as file:
            data = file.read()
        entry = read_entry(data)
        demand(leaf_hash(data) == data_hash, "the entry is not the one that is proved")
        print(f"the entry is {entry.get('_id')}")
    hashes = [unhash(text) for text in proof["proof"]]
    demand(type(proof["leaf"]) is int, "the leaf is no number")
    verify_inclusion(proof["leaf"], data_hash, checkpoint.size, checkpoint.root, hashes)
    print(f"leaf {proof['leaf']} is in {checkpoint}")
    kept = read_kept(arguments, keys)
    if kept:
        check_kept(kept, checkpoint, None)


def bundle(arguments, keys):
    with open(arguments.file, "rb") as file:
        checkpoint = read_header(file.readline(LINE_BYTES_MAX), keys)
        kept = read_kept(arguments, keys)
        if kept:
            between = arguments.consistency
            check_kept(kept, checkpoint, between and read_consistency(between, keys))
        problems, proved = read_entries(file, checkpoint)
    print(f"{proved} entries are in {checkpoint}")
    demand(problems == 0, f"{problems} problems")


def read_header(line, keys):
    try:
        header = json.loads(line)
    except ValueError:
        raise Wrong("line 1: not JSON") from None
    demand(set(header) == {"purser_bundle", "checkpoint"}, "line 1: not the header of a bundle")
    number = header["purser_bundle"]
    demand(type(number) is int and number == 1, "line 1: not a bundle of format 1")
    return Checkpoint(header["checkpoint"], keys)


def read_entries(file, checkpoint):
    number, following, count, proved, problems, stated = 1, 0, 0, 0, 0, None
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        where = f"line {number}"
        try:
            demand(stated is None, "comes after the last line")
            line = line[:-1] if line.endswith(b"\n") else line
            if end := END.fullmatch(line):
                stated = int(end[1])
                demand(stated == count, f"{stated} entries are stated, {count} came")
                continue
            count += 1
            match = ENTRY.fullmatch(line)
            demand(match, "not in the form of an entry")
            leaf = int(match[1])
            where += f", leaf {leaf}"
            late, following = leaf < following, max(following, leaf + 1)
            hashes = match[2].split(b",") if match[2] else []
            demand(all(map(HASH.fullmatch, hashes)), "not in the form of a proof")
            entry = read_entry(match[3])
            where += f", entry {entry.get('_id')}"
            proof = [unhash(text[1:-1]) for text in hashes]
            verify_inclusion(leaf, leaf_hash(match[3]), checkpoint.size, checkpoint.root, proof)
            demand(not late, "this leaf or a later one came before")
            proved += 1
        except Wrong as why:
            problems += 1
            print(f"{where}: {why}")
    if stated is None:
        problems += 1
        print("the last line is missing: the bundle was cut off")
    return problems, proved


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["bundle", "inclusion", "consistency"])
    parser.add_argument("--key", action="append", required=True)
    parser.add_argument("--kept")
    parser.add_argument("--consistency")
    parser.add_argument("--entry")
    parser.add_argument("file")
    arguments = parser.parse_args()
    try:
        keys = [Key(text) for text in arguments.key]
        {"bundle": bundle, "inclusion": inclusion, "consistency": consistency}[arguments.what](
            arguments, keys
        )
    except (Wrong, OSError) as why:
        print(f"WRONG: {why}")
        return 1
    except (AttributeError, KeyError, TypeError, UnicodeError) as why:
        print(f"WRONG: not in the documented form ({why!r})")
        return 1
    print("nothing is wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
