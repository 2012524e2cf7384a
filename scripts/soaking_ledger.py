"""What must be true of wallets and their ledger after scripts/soak_wallet, whatever has happened.

Not run by itself. `check` compares what callers were told with what MongoDB holds, and the ledger with
the wallets, the trail and itself. It knows the rules of a wallet only as sums: how credits are chosen,
put back or expire is tested elsewhere.
"""

import collections

# Of each operation, the entry that it leaves in the wallet it names.
MAIN = {
    "credit": "credit",
    "debit": "debit",
    "transfer": "transfer_out",
    "hold": "hold",
    "capture": "capture",
    "release": "release",
    "refund": "refund",
}
TAKES = ("debit", "transfer_out", "capture", "expire")
TOLD = ("kind", "amount", "balance_change", "held_change", "balance_after", "held_after", "seq", "reference")

ENTRY_FIELDS = (*TOLD, "user_id", "available_after", "trail_seq", "slices", "app_id", "scope", "parent")
USER_FIELDS = ("revision", "modules.wallet")
TRAIL_FIELDS = ("subject", "seq", "reference")
TALLY_FIELDS = ("amount",)


class Findings:
    def __init__(self):
        self.counts = collections.Counter(lost=0, doubled=0, overspent=0)
        self.problems = []

    def add(self, text, kind=None):
        self.counts[kind or "wrong"] += 1
        self.problems.append(f"{kind}: {text}" if kind else text)

    def expect(self, what, found, expected, kind=None):
        if found != expected:
            self.add(f"{what}: {found!r} instead of {expected!r}", kind)


def check(operations, users, entries, trail, tallies):
    """`operations`: those with a definite answer. The others: documents. Of these people alone."""
    findings = Findings()
    wallets = {user["_id"]: user["modules"]["wallet"] for user in users}
    ledgers = {user: [] for user in wallets}
    for entry in sorted(entries, key=lambda entry: entry["seq"]):
        ledgers[entry["user_id"]].append(entry)
    done = [operation for operation in operations if operation.is_done()]
    check_operations(findings, operations, entries)
    for user, ledger in ledgers.items():
        check_wallet(findings, user, ledger, wallets[user])
        check_lots(findings, user, ledger, wallets[user])
        check_holds(findings, user, ledger, wallets[user])
    check_order(findings, done)
    check_transfers(findings, entries)
    check_refunds(findings, entries, tallies)
    check_issued(findings, done, tallies)
    check_total(findings, done, entries, wallets)
    check_trail(findings, users, ledgers, trail)
    return findings


def check_operations(findings, operations, entries):
    """Each acknowledged operation has one entry, as it was told; nothing else has happened."""
    found = collections.defaultdict(list)
    for entry in entries:
        if not is_by_app(entry):
            if "app_id" not in entry:
                findings.add(f"nobody knows whose this was: {entry}", "lost")
        elif entry["kind"] != "transfer_in":
            found[entry["app_id"], entry["kind"], entry["reference"]].append(entry)
    for operation in operations:
        stored = found.pop((operation.app, MAIN[operation.kind], operation.reference), [])
        if not operation.is_done():
            if stored:
                findings.add(f"{operation} was refused, but is in the ledger: {stored}", "doubled")
        elif not stored:
            findings.add(f"{operation} was acknowledged, and is not in the ledger", "lost")
        elif len(stored) > 1:
            findings.add(f"{operation} is in the ledger {len(stored)} times", "doubled")
        else:
            told, stored = operation.answer.body["entry"], stored[0]
            findings.expect(f"{operation}, entry", told["id"], stored["_id"])
            findings.expect(f"{operation}, user", operation.user, stored["user_id"])
            findings.expect(f"{operation}, told", pick(told), pick(stored))
    for stored in found.values():
        findings.add(f"nobody was told of {stored}", "doubled")


def is_by_app(entry):
    """Else its time was over, and it is the app's whose hold or lot that was."""
    return entry["scope"].startswith("app:")


def pick(entry):
    return {name: entry[name] for name in TOLD}


def check_wallet(findings, user, ledger, wallet):
    """Gapless, each balance what the one before and the change make it, never below zero."""
    balance = held = 0
    for seq, entry in enumerate(ledger, 1):
        at = f"user {user}, entry {entry['seq']}"
        findings.expect(f"{at}, seq", entry["seq"], seq)
        balance += entry["balance_change"]
        held += entry["held_change"]
        findings.expect(f"{at}, balance_after", entry["balance_after"], balance)
        findings.expect(f"{at}, held_after", entry["held_after"], held)
        if not 0 <= entry["held_after"] <= entry["balance_after"]:
            findings.add(f"{at}: held {held} of a balance of {balance}", "overspent")
        if not 0 <= entry["available_after"] <= balance - held:
            findings.add(f"{at}: {entry['available_after']} available of {balance} - {held}", "overspent")
    stored = {name: wallet.get(name, 0) for name in ("balance", "held", "seq")}
    expected = {"balance": balance, "held": held, "seq": len(ledger)}
    findings.expect(f"user {user}, stored wallet", stored, expected)


def check_lots(findings, user, ledger, wallet):
    """What was put into a lot and not taken out is what remains of it."""
    remaining = collections.Counter()
    for entry in ledger:
        sign = -1 if entry["kind"] in TAKES else 1
        if entry["balance_change"] != 0:
            total = sum(part["amount"] for part in entry["slices"])
            findings.expect(
                f"user {user}, slices of entry {entry['seq']}", sign * total, entry["balance_change"]
            )
            for part in entry["slices"]:
                remaining[part["lot"]] += sign * part["amount"]
                if remaining[part["lot"]] < 0:
                    findings.add(f"user {user}, entry {entry['seq']}: lot {part['lot']}", "overspent")
    stored = {lot["id"]: lot["remaining"] for lot in wallet.get("lots", [])}
    findings.expect(f"user {user}, lots", stored, {lot: left for lot, left in remaining.items() if left})
    findings.expect(f"user {user}, sum of lots", sum(stored.values()), wallet["balance"])


def check_holds(findings, user, ledger, wallet):
    """Each was placed once and is resolved once, or open."""
    placed = {entry["_id"]: entry["amount"] for entry in ledger if entry["kind"] == "hold"}
    resolved = collections.Counter()
    for entry in ledger:
        if entry["kind"] in ("capture", "release"):
            hold = entry["parent"]
            resolved[hold] += 1
            findings.expect(f"user {user}, hold {hold}, let go", -entry["held_change"], placed.get(hold))
            if entry["kind"] == "capture" and entry["amount"] > placed.get(hold, 0):
                findings.add(f"user {user}: {entry['amount']} captured of hold {hold}", "overspent")
    for hold, times in resolved.items():
        if times > 1:
            findings.add(f"user {user}: hold {hold} was resolved {times} times", "doubled")
    stored = {hold["id"]: hold["amount"] for hold in wallet.get("holds", [])}
    still_open = {hold: amount for hold, amount in placed.items() if hold not in resolved}
    findings.expect(f"user {user}, open holds", stored, still_open)
    findings.expect(f"user {user}, sum of holds", sum(stored.values()), wallet.get("held", 0))


def check_order(findings, done):
    """What was asked after another answer had been given comes after it in the ledger."""
    by_user = collections.defaultdict(list)
    for operation in done:
        by_user[operation.user].append(operation)
    for of_user in by_user.values():
        latest = None
        for operation in sorted(of_user, key=lambda one: one.answer.body["entry"]["seq"]):
            if latest and operation.answered_at < latest.sent_at:
                findings.add(f"{operation} was answered before {latest} was sent, and came after it")
            if latest is None or operation.sent_at > latest.sent_at:
                latest = operation


def check_transfers(findings, entries):
    """What one loses by a transfer, one other gets."""
    sides = {"transfer_out": {}, "transfer_in": {}}
    for entry in entries:
        if entry["kind"] in sides:
            name = (entry.get("app_id"), entry["reference"])
            if name in sides[entry["kind"]]:
                findings.add(f"transfer {name} has two entries {entry['kind']}", "doubled")
            sides[entry["kind"]][name] = entry
    sent, received = sides["transfer_out"], sides["transfer_in"]
    for name in sent.keys() ^ received.keys():
        findings.add(f"transfer {name} has one side only", "lost")
    for name in sent.keys() & received.keys():
        findings.expect(f"transfer {name}", received[name]["balance_change"], -sent[name]["balance_change"])
        if sent[name]["user_id"] == received[name]["user_id"]:
            findings.add(f"transfer {name} went back to who sent it")


def check_refunds(findings, entries, tallies):
    """No more comes back of an entry than it took, and the tally of it says how much."""
    by_id = {entry["_id"]: entry for entry in entries}
    refunded = collections.Counter()
    for entry in entries:
        if entry["kind"] == "refund":
            refunded[entry["parent"]] += entry["amount"]
            if not 0 <= entry["balance_change"] <= entry["amount"]:
                findings.add(f"refund {entry['_id']}: {entry['balance_change']} of {entry['amount']}")
    for parent, amount in refunded.items():
        original = by_id.get(parent)
        if original is None or original["kind"] not in ("debit", "capture"):
            findings.add(f"refunds of {parent}, which cannot be refunded: {original}")
        elif amount > original["amount"]:
            findings.add(f"{amount} refunded of {original['amount']} (entry {parent})", "overspent")
    prefix = "refunded:"
    stored = {name.removeprefix(prefix): n for name, n in tallies.items() if name.startswith(prefix)}
    findings.expect("tallies of refunds", stored, dict(refunded))


def check_issued(findings, done, tallies):
    """The tallies of what each app has issued, of all days, say what callers were told."""
    issued, stored = collections.Counter(), collections.Counter()
    for operation in done:
        if operation.kind == "credit":
            issued[operation.app] += operation.body["amount"]
    for name, amount in tallies.items():
        kind, _, rest = name.partition(":")
        app = rest.partition(":")[0]
        if kind == "issued" and app in issued:
            stored[app] += amount
    findings.expect("tallies of credits", dict(stored), dict(issued))


def check_total(findings, done, entries, wallets):
    """All credits there are: what callers were told they put in, less what they were told they took,
    less what has expired. Transfers and holds change nothing."""
    told = collections.Counter()
    for operation in done:
        entry = operation.answer.body["entry"]
        told[operation.kind] += entry["balance_change"]
        if operation.kind in ("credit", "debit", "transfer", "hold"):
            findings.expect(f"{operation}, amount", entry["amount"], operation.body["amount"])
    expired = sum(entry["balance_change"] for entry in entries if entry["kind"] == "expire")
    total = told["credit"] + told["debit"] + told["capture"] + told["refund"] + expired
    findings.expect("all credits", sum(wallet["balance"] for wallet in wallets.values()), total)


def check_trail(findings, users, ledgers, trail):
    """The trail of each person has no gap, and says of each entry of the ledger where it came from."""
    references = {f"user:{user['_id']}": {} for user in users}
    for line in trail:
        of_user = references.get(line["subject"])
        if of_user is None:
            continue
        if line["seq"] in of_user:
            findings.add(f"{line['subject']}: two lines of the trail are number {line['seq']}", "doubled")
        of_user[line["seq"]] = line.get("reference")
    for user in users:
        of_user = references[f"user:{user['_id']}"]
        if sorted(of_user) != list(range(1, user["revision"] + 1)):
            findings.add(f"user {user['_id']}: the trail has not numbers 1 to {user['revision']}", "lost")
        for entry in ledgers[user["_id"]]:
            at = f"user {user['_id']}, entry {entry['seq']}"
            if entry["trail_seq"] not in of_user:
                findings.add(f"{at}: the trail has no number {entry['trail_seq']}", "lost")
            elif entry["kind"] in MAIN.values() and is_by_app(entry):
                findings.expect(f"{at}, trail", of_user[entry["trail_seq"]], entry["reference"])
