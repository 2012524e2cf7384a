"""What scripts/schemathesis tells schemathesis about Purser: who asks, and what stays.

Everything here goes by an operation's tag and by the names of its path parameters, so a new operation
needs nothing here. `scripts/schemathesis` passes its fixtures in PURSER_SCHEMATHESIS.
"""

import atexit
import collections
import itertools
import json
import os
import pathlib
import re

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

FIXTURES = json.loads(os.environ["PURSER_SCHEMATHESIS"])

# --- who asks --------------------------------------------------------------------------------------------


def caller(audience, keys):
    """Operations with this tag are asked with these keys; `me` needs the key of one connection."""
    keys = itertools.cycle(keys)

    @schemathesis.auth(refresh_interval=None).apply_to(tag=audience)
    class Caller:
        def get(self, case, context):
            is_me = (case.path_parameters or {}).get("user") == "me"
            return FIXTURES["connection_key"] if is_me else next(keys)

        def set(self, case, data, context):
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {data}"


for audience, keys in FIXTURES["keys"].items():
    caller(audience, keys)


# --- what stays ------------------------------------------------------------------------------------------

# People let go, keys revoked, apps suspended: all that is asked for, but not of the callers' own.
def is_kept(name, value):
    return value in FIXTURES["kept"].get(name, [])


others = {name: itertools.cycle(values) for name, values in FIXTURES["spare"].items()}


def is_of_wallet(case):
    """Credits are read or moved, which ends nothing; a wallet that is frozen could be a caller's own."""
    return "/wallet" in case.operation.path and not case.operation.path.endswith("freeze")


def ends_something(case):
    """Of a person, what could end the connection that `me` is; of all else, every change."""
    if is_of_wallet(case):
        return False
    admins = "admins" in (case.operation.tags or [])
    rotates = case.operation.path.endswith("/key")
    return case.method.upper() != "GET" and (admins or rotates or case.method.upper() == "DELETE")


def spare_the_kept(case):
    if not ends_something(case):
        return
    for name, value in (case.path_parameters or {}).items():
        if is_kept(name, value) or (name == "user" and value == "me"):
            case.path_parameters[name] = next(others[name])
            if value == "me" and (case.headers or {}).get("Authorization") == f"Bearer {FIXTURES['connection_key']}":
                case.headers["Authorization"] = f"Bearer {FIXTURES['keys']['apps'][0]}"


# --- what a schema cannot say ------------------------------------------------------------------------------

# A number that a phone has, a zone that is one, a moment to come: what fits the schema and means
# something, so that most requests get further than that. Every fourth stays as it was generated.
MEANT = {
    "timezone": itertools.cycle(["Europe/Berlin", "america/new_york", "UTC"]),
    "phone": itertools.cycle(FIXTURES["queries"]["phone"]),
    "language": itertools.cycle(["en", "pt-BR", "zh-Hant-TW"]),
    "avatar_url": itertools.cycle(["https://example.com/ada.png", "http://localhost:8080/ada"]),
    "expires_at": itertools.cycle(FIXTURES["moments"]),
    "effective_at": itertools.cycle(FIXTURES["soon"]),
    "reference": (f"reference {number}" for number in itertools.count()),
    "email": (f"Ada{number}@B\u00fccher.example" for number in itertools.count()),
    "allowed_ips": (f"10.{number >> 8 & 255}.{number & 255}.0/24" for number in itertools.count()),
    "identifier": itertools.cycle([*FIXTURES["queries"]["email"], *FIXTURES["queries"]["phone"]]),
}
AMOUNTS = itertools.cycle([*range(1, 16), 2**50])  # the last is more than most have
PAYEES = itertools.cycle(
    {name: value}
    for two in zip(FIXTURES["kept"]["user"], FIXTURES["values"]["account_number"][::-1])
    for name, value in zip(("user_id", "account_number"), two)
)
turns = itertools.count()


def with_meaning(name, value):
    if isinstance(value, list) and name == "roles" and value and isinstance(value[0], str):
        return ["member"]
    if isinstance(value, list):
        return [with_meaning(name, one) for one in value]
    if name == "amount" and isinstance(value, int):
        return next(AMOUNTS)
    if name == "to" and isinstance(value, dict):
        return next(PAYEES)
    if name == "metadata" and isinstance(value, dict):
        value = {with_meaning("", below).strip() or "x": one for below, one in value.items()}
    if isinstance(value, dict):
        return {below: with_meaning(below, one) for below, one in value.items()}
    if not isinstance(value, str):
        return value
    if name in MEANT:
        return next(MEANT[name])
    # One line, of what can be seen: as long as it was.
    return "".join(one if one.isprintable() else "x" for one in value)


# Holds and debits with whose wallet they are in: each in its turn, because it is used up.
wallets = {name: itertools.cycle(pairs) for name, pairs in FIXTURES["of_wallets"].items()}
owners = itertools.cycle(FIXTURES["kept"]["user"])


def give_owner(path):
    # One who may be frozen, suspended or gone by now.
    if path["user"] in FIXTURES["spare"]["user"]:
        path["user"] = next(owners)
    for name in path.keys() & wallets.keys():
        if path[name] not in FIXTURES["values"][name]:
            continue
        owner, path[name] = next(wallets[name])
        while path["user"] == "me" and owner != FIXTURES["kept"]["user"][0]:
            owner, path[name] = next(wallets[name])
        if path["user"] != "me":
            path["user"] = owner


def give_meaning(case):
    if not case.meta.generation.mode.is_positive or next(turns) % 4 == 0:
        return
    path, body, query = case.path_parameters or {}, case.body, case.query
    if is_of_wallet(case):
        give_owner(path)
    if isinstance(body, dict):
        body = {name: with_meaning(name, value) for name, value in body.items()}
        if isinstance(body.get("user_id"), str):
            body["user_id"] = FIXTURES["one_of"].get(path.get("registration"))
        if body.get("extend_seconds") or body.get("expired") == "extend":
            body |= {"expired": "extend", "extend_seconds": body.get("extend_seconds") or 3600}
        if isinstance(body.get("replaces"), str):
            body["replaces"] = next(iter(FIXTURES["keys_of"].get(path.get("app"), [])), None)
        if case.operation.label == "POST /v1/users":
            body |= {"email": next(MEANT["email"])}
        case.body = body
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = f"turn-{next(turns)}"
    if "cursor" in (query or {}):
        case.query = query = {name: value for name, value in query.items() if name != "cursor"}
    # Ways of looking for somebody exclude each other.
    ways = [name for name in WAYS if name in (query or {})]
    if case.operation.path in ("/v1/users", "/v1/admin/users") and len(ways) > 1:
        way = ways[next(turns) % len(ways)]
        case.query = {name: value for name, value in query.items() if name == way or name not in ways}


WAYS = ["email", "phone", "username", "app_username", "account_number", "id", "ids"]


def only_ask_with_a_key(case):
    """What moves credits needs no Idempotency-Key for a dry run, but no document can say so."""
    moves = "/wallet/" in case.operation.path or "/subscription" in case.operation.path
    if moves and "Idempotency-Key" not in (case.headers or {}):
        case.query = {name: value for name, value in (case.query or {}).items() if name != "dry_run"}


@schemathesis.hook
def before_call(context, case, kwargs):
    spare_the_kept(case)
    only_ask_with_a_key(case)
    if case.meta is not None:
        give_meaning(case)


FREE = r"/app_profile/(preferences|custom_fields)(/|$)"

# What is refused in `errors[]` of a 422 though it fits its schema: code, and where that may be.
# Never put a code here that says that a body has the wrong shape (`wrong_type`, `unknown_field`,
# `unknown_parameter`), and say as exactly as possible where. Where a place is free, any code may be.
BEYOND_SCHEMA = [
    ("looks_like_address", r"^/username$", "a username that could be taken for an identifier"),
    ("repeated", r"^/roles/", "the same name twice among objects"),
    ("beyond_ceiling", r"permissions", "permissions of another record, the app"),
    ("unknown_role", r"roles/", "roles of another record, the app"),
    ("not_vouched", r"^/verified$", "`email` and `verified` go together"),
    ("required", r"^/(email|profile/phone)$", "what `verified` lists must be there, or one of the two"),
    ("required", r"^/replaces$", "an overlap is one with the key that is replaced"),
    ("required", r"^/user_id$", "whose registration it is, where several could be meant"),
    ("not_in_use", r"^/replaces$", "an id of another record: the key that a new one replaces"),
    ("last_identifier", r"^/email$", "what the record is otherwise identified by"),
    ("not_accepted", r"^/user_id$", "one of the people that a registration could be of"),
    ("invalid_key", FREE, "a key: no dots, no leading $, no control characters"),
    ("invalid_characters", FREE, "NUL"),
    ("out_of_range", FREE, "a number that no database holds"),
    ("duplicate", FREE, "two keys that are one in Unicode's composed form"),
    ("too_large", FREE, "the size in bytes"),
    ("too_deep", FREE + "|^$", "the levels"),
    ("too_many", FREE, "the values"),
    ("not_whole", r"^/amount$", "1.0, which is an integer to JSON Schema"),
    ("required", r"^/extend_seconds$", "for how long, and only with `expired: extend`"),
    ("invalid_key", r"^/metadata$", "a name: no control characters, no blanks around it"),
    ("too_long", r"^/metadata/", "NUL"),
    ("too_many", r"^from$", "the entries that a statement would have"),
    ("unknown_permission", r"^/permissions/", "permissions of other records, the modules"),
    (None, r"^/(schema|defaults|migration)(/|$)", "what a schema of schemas would have to say"),
    ("reserved", r"^/module_name$", "names that mean something else"),
    ("version_too_low", r"^/version$", "the versions that there are"),
    ("unknown", r"^/apps/", "the id of another record, an app"),
    ("not_first_party", r"^/apps/", "what that app is"),
    ("beyond_ceiling", r"^/apps/", "what that app may hold"),
]

# The same for `not_accepted`, by what it says: the meaning of texts.
MEANINGS = [
    r"^must not be empty$",  # nothing but blanks
    r"^must be one line without control characters$",
    r"^must hold a character that can be seen$",
    r"^must not contain (control )?characters",
    r"^must be an IANA time zone",
    r"^must be a language tag, as in",
    r"^must be an address that begins with https:// or http://$",
    r"^must not contain a user name or a password$",
    r"^must have at most 2048 bytes$",  # as it is stored, with what is not ASCII escaped
    r"phone number",
    r"^(an e-mail address|the part (before|after) the @)",
    r"^an international number, its \+ sent as %2B$",
    r"^1 to 100 characters$",  # of those that can be seen: a query, a role's permission
    r"^a permission of the app's roles, 1 to 100 characters$",
    r"^14 digits, of which the last two check the others$",
    r"^one of .* at a time$",  # parameters that exclude each other
    r"^an RFC 3339 time to come$",
    r"^a time to come, at most 90 days after the key",
    r"^an RFC 3339 time that is not in the future$",
    r"^a time that is not before `from`$",
    r"^a time to come, and after effective_at$",
    r"^only with `expired: extend`$",
    r"^only with `format=bundle`$",
    r"^1 to 255 characters in one line$",
    r"^not above `to`$",
    r"^somebody else's wallet$",  # whose the path names
    r"^the size of a checkpoint",  # of which there are some
    r"^another than that of a built-in module$",
    r"^active, inactive or deprecated: what was in use is no draft again$",
    r"^an IP address(, or a prefix as it is stored$| or a network)",  # digits that are none
]

# The same for whole requests, by their problem's code.
STATE = {
    "invalid_cursor": "a cursor is opaque: nobody but Purser can make one",
    "revision_mismatch": "an `If-Match` of another version, which is what it is for",
    "idempotency_key_reused": "the same key for another request",
    "insufficient_credits": "what the wallet has",
    "exceeds_hold": "what the hold has",
    "exceeds_refundable": "what is left of the entry",
    "not_refundable": "the kind of the entry",
}


def is_beyond_schema(error):
    code, place, detail = error["code"], error["pointer"], error["detail"]
    # To JSON Schema 1.0 is an integer. Purser wants 1: amounts are never fractions.
    if code == "wrong_type" and detail == "expected an integer":
        return True
    # What the wallet has already.
    if (code, place) == ("out_of_range", "/amount") and detail.startswith("the balance would grow beyond"):
        return True
    if any(known in (None, code) and re.search(where, place) for known, where, _ in BEYOND_SCHEMA):
        return True
    return code == "not_accepted" and any(re.search(known, detail) for known in MEANINGS)


def refused_for_its_meaning(response):
    body = response.json()
    errors = body.get("errors") or []
    if body.get("code") == "invalid":
        return bool(errors) and all(is_beyond_schema(error) for error in errors)
    return body.get("code") in STATE


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """False drops the finding."""
    if not isinstance(failure, RejectedPositiveData) or not refused_for_its_meaning(response):
        return True
    problem = response.json()
    for error in problem.get("errors") or [{"code": problem["code"], "pointer": "", "detail": ""}]:
        place = re.sub(r"/(preferences|custom_fields)/.*", r"/\1/…", error["pointer"])
        dropped[" ".join((case.operation.label, error["code"], place, error["detail"]))] += 1
    return False


@atexit.register
def tell_what_was_dropped():
    """In the folder of the run, `dropped.txt`: whether the filter is too wide."""
    lines = [f"{count:6} {what}\n" for what, count in dropped.most_common()]
    pathlib.Path("dropped.txt").write_text("".join(lines))


dropped = collections.Counter()
