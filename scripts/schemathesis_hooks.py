"""What scripts/schemathesis tells schemathesis about Purser: who asks, and what stays.

Everything here goes by an operation's tag and by the names of its path parameters, so a new operation
needs nothing here. `scripts/schemathesis` passes its fixtures in PURSER_SCHEMATHESIS.
"""

import itertools
import json
import os

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

FIXTURES = json.loads(os.environ["PURSER_SCHEMATHESIS"])

# --- who asks --------------------------------------------------------------------------------------------


def caller(audience, key):
    """Operations with this tag are asked with this key; `me` needs the key of one connection."""

    @schemathesis.auth().apply_to(tag=audience)
    class Caller:
        def get(self, case, context):
            is_me = (case.path_parameters or {}).get("user") == "me"
            return FIXTURES["connection_key"] if is_me else key

        def set(self, case, data, context):
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {data}"


for audience, key in FIXTURES["keys"].items():
    caller(audience, key)


# --- what stays ------------------------------------------------------------------------------------------

# People let go, keys revoked, apps suspended: all that is asked for, but not of the callers' own.
def is_kept(name, value):
    kept = FIXTURES["kept"].get(name, [])
    return value in (kept if isinstance(kept, list) else [kept])


usable = {name: [v for v in values if v != "me" and not is_kept(name, v)] for name, values in FIXTURES["values"].items()}
others = {name: itertools.cycle(values or ["0" * 24]) for name, values in usable.items()}


def ends_something(case):
    """Of a person, what could end the connection that `me` is; of all else, every change."""
    admins = "admins" in (case.operation.tags or [])
    rotates = case.operation.path.endswith("/key")
    return case.method.upper() != "GET" and (admins or rotates or case.method.upper() == "DELETE")


@schemathesis.hook
def before_call(context, case, kwargs):
    if not ends_something(case):
        return
    for name, value in (case.path_parameters or {}).items():
        if is_kept(name, value) or (name == "user" and value == "me"):
            case.path_parameters[name] = next(others[name])


# --- what a schema cannot say ------------------------------------------------------------------------------

# Codes in `errors[]` of a 422 for rules between fields, or about what a text means. A request that
# breaks one of these fits its schema, and is refused all the same. Never put a code here that says
# that a body has the wrong shape (`wrong_type`, `unknown_field`, `unknown_parameter`).
BEYOND_SCHEMA = {
    "not_accepted": "a text's meaning: a time zone, a phone number, no control characters in a line",
    "looks_like_address": "a username that could be taken for an identifier",
    "repeated": "the same name twice among objects",
    "beyond_ceiling": "permissions of another record, the app",
    "unknown_role": "roles of another record, the app",
    "not_vouched": "`email` and `verified` go together",
    "required": "what `verified` lists must be there",
    "not_in_use": "an id of another record, such as the key that a new one replaces",
    "last_identifier": "what the record is otherwise identified by",
    "invalid_key": "a key of a free-form object: no dots, no leading $, no control characters",
    "invalid_characters": "NUL in a free-form object",
    "out_of_range": "a number of a free-form object that no database holds",
    "duplicate": "two keys of a free-form object that are one in Unicode's composed form",
    "too_large": "a free-form object's size in bytes",
    "too_deep": "a free-form object's levels",
    "too_many": "a free-form object's values",
}


# The same for whole requests, by their problem's code.
STATE = {
    "invalid_cursor": "a cursor is opaque: nobody but Purser can make one",
    "revision_mismatch": "an `If-Match` of another version, which is what it is for",
    "idempotency_key_reused": "the same key for another request",
}


def is_beyond_schema(error):
    # To JSON Schema 1.0 is an integer. Purser wants 1: amounts are never fractions.
    fraction = error["code"] == "wrong_type" and error["detail"] == "expected an integer"
    return fraction or error["code"] in BEYOND_SCHEMA


def refused_for_its_meaning(response):
    body = response.json()
    errors = body.get("errors") or []
    if body.get("code") == "invalid":
        return bool(errors) and all(is_beyond_schema(error) for error in errors)
    return body.get("code") in STATE


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """False drops the finding."""
    if isinstance(failure, RejectedPositiveData):
        return not refused_for_its_meaning(response)
    return True
