"""What people would write themselves: the reads and the debits of Purser's API with FastAPI and PyMongo.

Not run by itself; scripts/bench_sample measures Purser against it. Users, connections and audit entries
are the documents that such a service would have, and a debit is one transaction with a ledger entry and
an audit entry. There is no more to it: no limits, no sealed values, no proof, no view.
"""

import datetime
import os

import bson
import fastapi
import pydantic
import pymongo
import pymongo.errors
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

APP = "sample_app"
KEY = os.environ["SAMPLE_KEY"]
OPENING_BALANCE = 1_000_000_000

client = pymongo.MongoClient(os.environ["SAMPLE_URI"], maxPoolSize=64)
db = client["sample"]
app = fastapi.FastAPI()


class Debit(pydantic.BaseModel):
    amount: int = pydantic.Field(gt=0)
    description: str | None = None


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def connection(user_id, authorization, permission):
    found = db.user_apps.find_one({"user_id": user_id, "app_id": APP, "connection_status": "active"})
    if not found or authorization != f"Bearer {found['api_key']}" or permission not in found["permissions"]:
        raise fastapi.HTTPException(403, "The app does not have the permission.")
    return found


def plain(value):
    if isinstance(value, bson.ObjectId):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(field) for key, field in value.items() if key not in ("password", "api_key")}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value


@app.get("/v1/users/{user}")
def read(user: str, authorization: str = fastapi.Header()):
    user_id = bson.ObjectId(user)
    shared = db.users.find_one({"_id": user_id})
    return {"shared": plain(shared), "app_specific": plain(connection(user_id, authorization, "read"))}


@app.post("/v1/users/{user}/wallet/debits", status_code=201)
def debit(user: str, body: Debit, authorization: str = fastapi.Header(), idempotency_key: str = fastapi.Header()):
    user_id = bson.ObjectId(user)
    connection(user_id, authorization, "wallet_access")

    def once(session):
        at = now()
        found = db.users.find_one({"_id": user_id}, session=session)
        before = found["modules"]["wallet"]["balance"]
        after = before - body.amount
        if after < 0:
            raise fastapi.HTTPException(402, "There are not enough credits.")
        changed = {"updated_at": at, "modules.wallet.last_updated": at, "modules.wallet.balance": after}
        db.users.update_one({"_id": user_id}, {"$set": changed}, session=session)
        entry = {
            "user_id": user_id,
            "app_id": APP,
            "kind": "debit",
            "amount": body.amount,
            "balance_after": after,
            "reference": idempotency_key,
            "description": body.description,
            "created_at": at,
        }
        db.wallet_entries.insert_one(entry, session=session)
        change = {"modules.wallet.balance": {"old": before, "new": after}}
        audit = {"user_id": user_id, "app_id": APP, "action": "wallet_debited", "module": "wallet"}
        db.user_audit_logs.insert_one({**audit, "changes": change, "timestamp": at}, session=session)
        return entry

    try:
        with client.start_session() as session:
            majority = WriteConcern("majority", j=True)
            entry = session.with_transaction(once, ReadConcern("snapshot"), majority)
    except pymongo.errors.DuplicateKeyError:
        entry = db.wallet_entries.find_one({"app_id": APP, "reference": idempotency_key})
    return {"entry": plain(entry)}


def people(count):
    """Makes so many people, and the indexes; their ids."""
    users = [person(number) for number in range(count)]
    db.users.insert_many(users)
    db.user_apps.insert_many([tie(user) for user in users])
    db.users.create_index("email", unique=True)
    db.user_apps.create_index([("user_id", 1), ("app_id", 1)], unique=True)
    db.wallet_entries.create_index([("app_id", 1), ("reference", 1)], unique=True)
    db.wallet_entries.create_index([("user_id", 1), ("created_at", -1)])
    for field in ("user_id", "app_id", "action", "module", "timestamp"):
        db.user_audit_logs.create_index(field)
    return [str(user["_id"]) for user in users]


def person(number):
    wallet = {"enabled": True, "balance": OPENING_BALANCE, "currency": "USD", "last_updated": now()}
    return {
        "_id": bson.ObjectId(),
        "email": f"person{number}@example.com",
        "username": f"person{number}",
        "status": "active",
        "created_at": now(),
        "updated_at": now(),
        "profile": {"first_name": "Ada", "last_name": "Lovelace", "phone": "+12345678901", "city": "London"},
        "preferences": {"language": "en", "timezone": "Europe/London", "notifications": {"email": True}},
        "modules": {"wallet": wallet, "subscription": {"enabled": False}, "referrals": {"enabled": False}},
    }


def tie(user):
    return {
        "user_id": user["_id"],
        "app_id": APP,
        "connection_status": "active",
        "api_key": KEY,
        "app_username": user["username"],
        "permissions": ["read", "write", "wallet_access"],
        "rate_limits": {"requests_per_minute": 100, "requests_per_hour": 1000},
        "connected_at": now(),
    }
