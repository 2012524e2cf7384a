#!/usr/bin/env python3
"""Send one command to a MongoDB server and print the answer as JSON.

Run by scripts/mongod, so that a developer needs no MongoDB shell:

    scripts/mongo_command.py 127.0.0.1:27117 '{"hello": 1}'

The command goes to the database `admin` unless it names another one in `$db`. The exit status is
0 when the server answered ok, 1 when it refused (the answer is printed all the same), and 2 when
nobody answered. It speaks as much OP_MSG and BSON as this takes, and only the standard library.
"""

import json
import socket
import struct
import sys

OP_MSG = 2013
REFUSED, UNREACHABLE = 1, 2


def encode(document):
    body = b"".join(element(key, value) for key, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def element(key, value):
    name = key.encode() + b"\0"
    if value is None:
        return b"\x0a" + name
    if isinstance(value, bool):  # before int: a bool is one
        return b"\x08" + name + bytes([value])
    if isinstance(value, int):
        wide = not -(2**31) <= value < 2**31
        return (b"\x12" if wide else b"\x10") + name + struct.pack("<q" if wide else "<i", value)
    if isinstance(value, float):
        return b"\x01" + name + struct.pack("<d", value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + name + struct.pack("<i", len(text)) + text
    if isinstance(value, list):
        return b"\x04" + name + encode({str(i): item for i, item in enumerate(value)})
    if isinstance(value, dict):
        return b"\x03" + name + encode(value)
    raise TypeError(f"{key}: no BSON for {type(value).__name__}")


def decode(data, at=0):
    """The document that starts at `at`, and where it ends."""
    end = at + struct.unpack_from("<i", data, at)[0] - 1
    at, document = at + 4, {}
    while at < end:
        kind, stop = data[at], data.index(b"\0", at + 1)
        key, at = data[at + 1 : stop].decode(), stop + 1
        document[key], at = decode_value(kind, data, at)
    return document, end + 1


def decode_value(kind, data, at):
    def fixed(form):
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)

    if kind == 0x01:
        return fixed("<d")
    if kind == 0x02:
        stop = at + 4 + fixed("<i")[0]
        return data[at + 4 : stop - 1].decode(), stop
    if kind in (0x03, 0x04):
        document, stop = decode(data, at)
        return (document if kind == 0x03 else list(document.values())), stop
    if kind == 0x05:
        stop = at + 5 + fixed("<i")[0]
        return data[at + 5 : stop].hex(), stop
    if kind == 0x07:
        return data[at : at + 12].hex(), at + 12
    if kind == 0x08:
        return bool(data[at]), at + 1
    if kind == 0x0A:
        return None, at
    if kind == 0x10:
        return fixed("<i")
    if kind in (0x09, 0x11, 0x12):
        return fixed("<q")
    raise ValueError(f"BSON type {kind:#04x} is not expected here")


def receive(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return data


def command(address, document, timeout=10.0):
    host, port = address.rsplit(":", 1)
    # Flag bits, then one section of kind 0: the command, whose first key is its name.
    message = struct.pack("<iB", 0, 0) + encode({**document, "$db": document.get("$db", "admin")})
    with socket.create_connection((host, int(port)), timeout) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(message), 1, 0, OP_MSG) + message)
        size, _, _, opcode = struct.unpack("<iiii", receive(connection, 16))
        if opcode != OP_MSG or not 21 <= size <= 48_000_000:
            raise ConnectionError("the answer is not MongoDB's")
        return decode(receive(connection, size - 16), 5)[0]


def main(arguments):
    if len(arguments) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 64
    try:
        answer = command(arguments[0], json.loads(arguments[1]))
    except (OSError, ValueError, struct.error) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return UNREACHABLE
    print(json.dumps(answer))
    return 0 if answer.get("ok") else REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
