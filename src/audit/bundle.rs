//! A bundle: entries with everything that proves them, for whoever has no access to a database.
//!
//! Lines of JSON, each in exactly this form, so that nothing must be held but one line:
//!
//! ```text
//! {"purser_bundle":1,"checkpoint":"<signed note>"}
//! {"leaf":4,"proof":["<hash>",…],"entry":<canonical JSON>}
//! {"entries":1}
//! ```
//!
//! Leaves come in rising order. The bytes after `"entry":` up to the last `}` are the ones that
//! were hashed. The last line tells a bundle that was cut off from a whole one; whether entries
//! were left out on purpose no bundle can tell, except by its leaf numbers.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde::Deserialize;

use super::checkpoint::{Checkpoint, Malformed, Note, Unvouched, parse_size};
use super::leaf;
use super::proof::{Head, Refusal, verify_inclusion};
use super::tree::Hash;
use crate::crypto::signature::PublicKey;

const FORMAT: u64 = 1;
/// An entry has at most the 16 MiB of a document, which escapes and base64 make longer.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A tree of 2^64 leaves is not higher.
const PROOF_HASHES_MAX: usize = 64;

/// Makes the lines of a bundle; whoever has them writes them wherever they go.
#[derive(Debug)]
pub struct Writer {
    size: u64,
    next: u64,
    entries: u64,
}

impl Writer {
    /// The first line. `note` is the checkpoint that the proofs lead to.
    pub fn begin(note: &str) -> Result<(Self, String), Malformed> {
        let size = Note::parse(note)?.unverified().head().size;
        let note = serde_json::to_string(note).expect("texts are JSON");
        let line = format!("{{\"purser_bundle\":{FORMAT},\"checkpoint\":{note}}}\n");
        Ok((Self { size, next: 0, entries: 0 }, line))
    }

    /// `canonical` is what `leaf::canonical` made of the stored entry.
    pub fn entry(
        &mut self,
        leaf: u64,
        canonical: &str,
        proof: &[Hash],
    ) -> Result<String, &'static str> {
        if leaf < self.next || leaf >= self.size {
            return Err("leaves of a bundle rise and are in its checkpoint");
        }
        let proof: Vec<_> = proof.iter().map(|hash| format!("\"{hash}\"")).collect();
        let proof = proof.join(",");
        let line = format!("{{\"leaf\":{leaf},\"proof\":[{proof}],\"entry\":{canonical}}}\n");
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err("the entry is too long for a bundle");
        }
        (self.next, self.entries) = (leaf + 1, self.entries + 1);
        Ok(line)
    }

    /// The last line.
    pub fn end(self) -> String {
        format!("{{\"entries\":{}}}\n", self.entries)
    }
}

/// What is wrong with a bundle, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: u64,
    pub leaf: Option<u64>,
    /// The `_id` of the entry, as it says itself.
    pub entry: Option<String>,
    pub why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    TooLong,
    NoHeader,
    Checkpoint(Malformed),
    Unvouched(Unvouched),
    /// The line has not the form of an entry.
    NoEntry,
    /// This leaf or a later one came before.
    OutOfOrder,
    NotCanonical,
    Proof(Refusal),
    WrongCount {
        stated: u64,
    },
    AfterTheEnd,
    CutOff,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(leaf) = self.leaf {
            write!(f, ", leaf {leaf}")?;
        }
        if let Some(entry) = &self.entry {
            write!(f, ", entry {entry}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("longer than 64 MiB; nothing from here on was checked"),
            Self::NoHeader => f.write_str("not the first line of a bundle of format 1"),
            Self::Checkpoint(why) => why.fmt(f),
            Self::Unvouched(why) => why.fmt(f),
            Self::NoEntry => f.write_str("not in the form of an entry"),
            Self::OutOfOrder => f.write_str("this leaf or a later one came before"),
            Self::NotCanonical => f.write_str("the entry is not in canonical form"),
            Self::Proof(why) => why.fmt(f),
            Self::WrongCount { stated } => {
                write!(f, "{stated} entries are stated, not as many came")
            }
            Self::AfterTheEnd => f.write_str("comes after the last line"),
            Self::CutOff => f.write_str("the last line is missing: the bundle was cut off"),
        }
    }
}

/// What a verified bundle is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `None` when it could not be believed, and so nothing was checked.
    pub checkpoint: Option<Checkpoint>,
    /// Entries that are in the checkpoint's tree.
    pub proved: u64,
    pub problems: u64,
}

impl Verdict {
    pub fn is_sound(&self) -> bool {
        self.checkpoint.is_some() && self.problems == 0
    }
}

/// Reads a bundle line by line; each problem is reported when it is found, and the rest is still
/// checked. An error is one of reading.
pub fn verify(
    mut bundle: impl BufRead,
    keys: &[PublicKey],
    report: impl FnMut(Problem),
) -> io::Result<Verdict> {
    let verdict = Verdict { checkpoint: None, proved: 0, problems: 0 };
    let mut check = Check { keys, report, verdict, line: 0, next: 0, entries: 0, is_ended: false };
    let mut line = Vec::new();
    while next_line(&mut bundle, &mut line)? {
        check.line += 1;
        if !check.line(&line) {
            return Ok(check.verdict);
        }
    }
    check.line += 1;
    if !check.is_ended {
        check.problem(Why::CutOff);
    }
    Ok(check.verdict)
}

/// One byte more than allowed is read, and shows that the line is too long.
fn next_line(bundle: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    bundle.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', line)?;
    Ok(!line.is_empty())
}

struct Check<'a, R> {
    keys: &'a [PublicKey],
    report: R,
    verdict: Verdict,
    line: u64,
    next: u64,
    entries: u64,
    is_ended: bool,
}

impl<R: FnMut(Problem)> Check<'_, R> {
    /// Whether it makes sense to go on.
    fn line(&mut self, line: &[u8]) -> bool {
        if line.len() as u64 > LINE_BYTES_MAX {
            self.problem(Why::TooLong);
            return false;
        }
        let line = std::str::from_utf8(line).unwrap_or_default();
        let line = line.strip_suffix('\n').unwrap_or(line);
        match self.verdict.checkpoint.as_ref().map(Checkpoint::head) {
            None => return self.header(line),
            Some(_) if self.is_ended => self.problem(Why::AfterTheEnd),
            Some(head) => match parse_end(line) {
                Some(stated) => self.end(stated),
                None => self.entry(line, head),
            },
        }
        true
    }

    fn header(&mut self, line: &str) -> bool {
        match checkpoint(line, self.keys) {
            Ok(checkpoint) => self.verdict.checkpoint = Some(checkpoint),
            Err(why) => self.problem(why),
        }
        self.verdict.checkpoint.is_some()
    }

    fn end(&mut self, stated: u64) {
        self.is_ended = true;
        if stated != self.entries {
            self.problem(Why::WrongCount { stated });
        }
    }

    fn entry(&mut self, line: &str, head: Head) {
        self.entries += 1;
        let Some(entry) = EntryLine::parse(line) else { return self.problem(Why::NoEntry) };
        let is_late = entry.leaf < self.next;
        self.next = self.next.max(entry.leaf.saturating_add(1));
        let why = match entry.verify(head) {
            Ok(()) if is_late => Why::OutOfOrder,
            Ok(()) => {
                self.verdict.proved += 1;
                return;
            }
            Err(why) => why,
        };
        self.say(Some(entry.leaf), entry.id(), why);
    }

    fn problem(&mut self, why: Why) {
        self.say(None, None, why);
    }

    fn say(&mut self, leaf: Option<u64>, entry: Option<String>, why: Why) {
        self.verdict.problems += 1;
        (self.report)(Problem { line: self.line, leaf, entry, why });
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    purser_bundle: u64,
    checkpoint: String,
}

fn checkpoint(line: &str, keys: &[PublicKey]) -> Result<Checkpoint, Why> {
    let header: Header = serde_json::from_str(line).map_err(|_| Why::NoHeader)?;
    if header.purser_bundle != FORMAT {
        return Err(Why::NoHeader);
    }
    let note = Note::parse(&header.checkpoint).map_err(Why::Checkpoint)?;
    note.verify(keys).cloned().map_err(Why::Unvouched)
}

struct EntryLine<'a> {
    leaf: u64,
    proof: Vec<Hash>,
    canonical: &'a str,
}

impl<'a> EntryLine<'a> {
    /// By its exact form and not as JSON: what was hashed are the bytes as they stand here.
    fn parse(line: &'a str) -> Option<Self> {
        let (leaf, rest) = line.strip_prefix("{\"leaf\":")?.split_once(",\"proof\":[")?;
        let (proof, rest) = rest.split_once("],\"entry\":")?;
        let canonical = rest.strip_suffix('}')?;
        Some(Self { leaf: parse_size(leaf)?, proof: parse_proof(proof)?, canonical })
    }

    fn verify(&self, head: Head) -> Result<(), Why> {
        if !leaf::is_canonical(self.canonical) {
            return Err(Why::NotCanonical);
        }
        let hash = leaf::hash(self.canonical);
        verify_inclusion(self.leaf, hash, head, &self.proof).map_err(Why::Proof)
    }

    fn id(&self) -> Option<String> {
        let entry: serde_json::Value = serde_json::from_str(self.canonical).ok()?;
        Some(entry.get("_id")?.as_str()?.to_owned())
    }
}

fn parse_proof(text: &str) -> Option<Vec<Hash>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let hash = |text: &str| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    let proof: Vec<_> = text.split(',').map(hash).collect::<Option<_>>()?;
    (proof.len() <= PROOF_HASHES_MAX).then_some(proof)
}

fn parse_end(line: &str) -> Option<u64> {
    parse_size(line.strip_prefix("{\"entries\":")?.strip_suffix('}')?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::{ORIGIN, Trail};
    use proptest::prelude::*;

    impl Trail {
        fn verify(&self, bundle: &str) -> (Verdict, Vec<Problem>) {
            let mut problems = Vec::new();
            let keys = [self.key.public().clone()];
            let verdict = verify(bundle.as_bytes(), &keys, |problem| problems.push(problem));
            (verdict.unwrap(), problems)
        }
    }

    #[test]
    fn a_bundle_of_any_entries_is_sound() {
        let trail = Trail::of(21);
        for leaves in [vec![], vec![20], vec![0, 1, 7, 8, 20], (0..21).collect()] {
            let (verdict, problems) = trail.verify(&trail.bundle(21, leaves.clone()));
            assert_eq!(problems, []);
            assert!(verdict.is_sound());
            assert_eq!(verdict.proved, leaves.len() as u64);
            assert_eq!(verdict.checkpoint.unwrap().head(), trail.head(21));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_leaf_and_its_entry() {
        let trail = Trail::of(9);
        let bundle = trail.bundle(9, [2, 3, 5]);
        let changed = bundle.replacen("\"seq\":\"i:3\"", "\"seq\":\"i:4\"", 1);
        let (verdict, problems) = trail.verify(&changed);
        assert_eq!((verdict.proved, verdict.problems, verdict.is_sound()), (2, 1, false));
        assert_eq!(
            problems[0].to_string(),
            "line 3, leaf 3, entry 000000000000000000000003: the proof leads to another root"
        );
    }

    #[test]
    fn each_kind_of_damage_has_a_reason_of_its_own() {
        let trail = Trail::of(9);
        let bundle = trail.bundle(9, [2, 3, 5]);
        let lines: Vec<&str> = bundle.lines().collect();
        let whys = |lines: &[&str]| -> Vec<_> {
            trail.verify(&lines.join("\n")).1.into_iter().map(|problem| problem.why).collect()
        };
        let [header, two, three, five, end] = lines[..] else { panic!("five lines") };
        let count = |stated| Why::WrongCount { stated };

        assert_eq!(whys(&[header, two, three, five]), [Why::CutOff]);
        assert_eq!(whys(&[header, two, three, end]), [count(3)]);
        assert_eq!(whys(&[header, three, two, five, end]), [Why::OutOfOrder]);
        assert_eq!(whys(&[header, two, two, three, end]), [Why::OutOfOrder]);
        let late = whys(&[header, five, two, three, end]);
        assert_eq!(late, [Why::OutOfOrder, Why::OutOfOrder]);
        assert_eq!(whys(&[header, two, three, five, end, five]), [Why::AfterTheEnd]);
        assert_eq!(whys(&[header, two, "", three, end]), [Why::NoEntry]);
        assert_eq!(whys(&[]), [Why::CutOff]);
        assert_eq!(whys(&[two]), [Why::NoHeader]);
        assert_eq!(whys(&[&header.replace(":1,", ":2,"), two]), [Why::NoHeader]);
        assert_eq!(whys(&[&header.replace(":1,", ":1,\"x\":1,"), two]), [Why::NoHeader]);
        let unsigned = header.replace("\\n9\\n", "\\n10\\n");
        let forged = Unvouched::Forged { name: ORIGIN.to_owned() };
        assert_eq!(whys(&[&unsigned, two]), [Why::Unvouched(forged)]);
        let broken = Why::Checkpoint(Malformed("the size is no number"));
        assert_eq!(whys(&[&header.replace("\\n9\\n", "\\n09\\n"), two]), [broken]);

        let bent =
            |from: &str, to: &str| whys(&[header, &two.replacen(from, to, 1), three, five, end]);
        assert_eq!(bent("\"leaf\":2", "\"leaf\":02"), [Why::NoEntry]);
        assert_eq!(bent("\"leaf\":2", "\"leaf\": 2"), [Why::NoEntry]);
        assert_eq!(bent("\"proof\":[\"", "\"proof\":[\"x"), [Why::NoEntry]);
        assert_eq!(bent("\"leaf\":2", "\"leaf\":0"), [Why::Proof(Refusal::OtherRoot)]);
        assert_eq!(bent("\"seq\":", "\"seq\": "), [Why::NotCanonical]);
        let doubled = bent("\"seq\":", "\"seq\":\"i:7\",\"seq\":");
        assert_eq!(doubled, [Why::NotCanonical]);
        let far = whys(&[header, two, &five.replacen("\"leaf\":5", "\"leaf\":9", 1), end]);
        assert_eq!(far, [Why::Proof(Refusal::OutOfRange), count(3)]);
        let short = two.replacen(&format!("\"{}\",", trail.kept.leaves[3]), "", 1);
        assert_eq!(whys(&[header, &short, three, five, end]), [Why::Proof(Refusal::WrongLength)]);
    }

    #[test]
    fn a_line_without_an_end_is_not_read_to_its_end() {
        let trail = Trail::of(1);
        let header = trail.bundle(1, []).lines().next().unwrap().to_owned() + "\n";
        let endless = header.as_bytes().chain(io::repeat(b'x'));
        let mut problems = Vec::new();
        let keys = [trail.key.public().clone()];
        let verdict = verify(io::BufReader::new(endless), &keys, |problem| problems.push(problem));
        assert!(!verdict.unwrap().is_sound());
        assert_eq!(problems[0].why, Why::TooLong);
    }

    #[test]
    fn a_writer_refuses_what_a_verifier_would() {
        let trail = Trail::of(4);
        let (mut writer, _) = Writer::begin(&trail.note(3)).unwrap();
        let proof = trail.kept.inclusion(1, 3);
        assert!(writer.entry(1, &trail.entries[1], &proof).is_ok());
        assert!(writer.entry(1, &trail.entries[1], &proof).is_err());
        assert!(writer.entry(0, &trail.entries[0], &proof).is_err());
        assert!(writer.entry(3, &trail.entries[3], &proof).is_err());
        assert_eq!(writer.end(), "{\"entries\":1}\n");
        assert!(Writer::begin("no note").is_err());
    }

    proptest! {
        #[test]
        fn one_changed_byte_is_noticed(at: prop::sample::Index, bit in 0_u32..8) {
            let trail = Trail::of(9);
            let mut bundle = trail.bundle(9, [0, 3, 8]).into_bytes();
            // Without its last line end a bundle is still whole.
            let at = at.index(bundle.len() - 1);
            bundle[at] ^= 1 << bit;
            let keys = [trail.key.public().clone()];
            let verdict = verify(bundle.as_slice(), &keys, |_| {}).unwrap();
            prop_assert!(!verdict.is_sound());
        }
    }
}
