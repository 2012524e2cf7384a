//! Checkpoints: what the log says of itself at one size, signed (C2SP tlog-checkpoint, which is a
//! C2SP signed-note).
//!
//! ```text
//! purser.example.com/trail
//! 20852163
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! time 2026-11-26T09:58:32.250Z
//!
//! — purser.example.com/trail Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+Z…
//! ```
//!
//! Two checkpoints of one log with the same size and different roots [`Relation::Disagree`]: the
//! log has shown two histories, and both texts together are the evidence. So nothing of a text may
//! be lost by reading it, and a text that could be read in two ways is refused.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::proof::Head;
use super::tree::empty_root;
use crate::crypto::signature::{KeyId, PublicKey, SigningKey, is_name};
use crate::kernel::time::{Timestamp, parse_rfc3339, rfc3339};

const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Signed-note asks for 16 at least; post-quantum ones are large.
const SIGNATURES_MAX: usize = 32;
const SIGNATURE_BEGIN: &str = "— ";
const TIME: &str = "time ";

/// Why a text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no checkpoint: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Why a checkpoint must not be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unvouched {
    /// None of the signatures is by a key we were given.
    Unknown,
    /// A signature names one of our keys and is not its.
    Forged { name: String },
}

impl fmt::Display for Unvouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the checkpoint is not signed with a key that was given"),
            Self::Forged { name } => {
                write!(f, "the checkpoint has a signature of {name} that does not fit")
            }
        }
    }
}

impl std::error::Error for Unvouched {}

/// How two checkpoints stand to each other, before any proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Same,
    /// The first is smaller; a consistency proof must show that the second begins with it.
    Before,
    After,
    /// The same size and different roots: one of two histories is false.
    Disagree,
    /// Of different logs, so there is nothing to compare.
    OtherLog,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: Head,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// `at` becomes an extension line, `time <RFC 3339>`. It is the signer's word: no proof covers
    /// it.
    pub fn new(origin: &str, head: Head, at: Option<Timestamp>) -> Result<Self, Malformed> {
        if !is_name(origin) {
            return Err(Malformed("the origin must be 1 to 200 bytes without spaces and +"));
        }
        let extensions = at.map(|at| format!("{TIME}{}", rfc3339(at))).into_iter().collect();
        Self { origin: origin.to_owned(), head, extensions }.checked()
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn head(&self) -> Head {
        self.head
    }

    /// Lines after the third, as they are.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    pub fn time(&self) -> Option<Timestamp> {
        self.extensions.iter().find_map(|line| parse_rfc3339(line.strip_prefix(TIME)?))
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let Self { origin, head, extensions } = self;
        let mut text = format!("{origin}\n{}\n{}\n", head.size, head.root);
        for line in extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The note: text, blank line and a signature line for each key. Whoever signs must know that
    /// it agrees with every checkpoint signed before.
    pub fn sign(&self, keys: &[&SigningKey]) -> String {
        let text = self.text();
        let line = |key: &&SigningKey| {
            let public = key.public();
            let bytes = [public.id().as_slice(), &key.sign(text.as_bytes())].concat();
            format!("{SIGNATURE_BEGIN}{} {}\n", public.name(), STANDARD.encode(bytes))
        };
        let signatures: String = keys.iter().map(line).collect();
        format!("{text}\n{signatures}")
    }

    pub fn compare(&self, other: &Self) -> Relation {
        match self.head.size.cmp(&other.head.size) {
            _ if self.origin != other.origin => Relation::OtherLog,
            std::cmp::Ordering::Less => Relation::Before,
            std::cmp::Ordering::Greater => Relation::After,
            std::cmp::Ordering::Equal if self.head.root == other.head.root => Relation::Same,
            std::cmp::Ordering::Equal => Relation::Disagree,
        }
    }

    fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.strip_suffix('\n').ok_or(Malformed("it does not end with a line end"))?;
        let mut lines = text.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let origin = line().ok_or(Malformed("there is no origin"))?.to_owned();
        let size = line().and_then(parse_size).ok_or(Malformed("the size is no number"))?;
        let root = line().and_then(|line| line.parse().ok());
        let root = root.ok_or(Malformed("the root is not the base64 of 32 bytes"))?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(Malformed("a line is empty"));
        }
        Self { origin, head: Head { size, root }, extensions }.checked()
    }

    fn checked(self) -> Result<Self, Malformed> {
        if self.head.size == 0 && self.head.root != empty_root() {
            return Err(Malformed("an empty tree has another root"));
        }
        Ok(self)
    }
}

/// A checkpoint as a text with signatures nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    checkpoint: Checkpoint,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    key_id: KeyId,
    bytes: Vec<u8>,
}

impl Note {
    /// Strict: what parses is, byte for byte, what writing it would give.
    pub fn parse(note: &str) -> Result<Self, Malformed> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(Malformed("it has more than 65536 bytes"));
        }
        if note.contains(|c: char| c < ' ' && c != '\n') {
            return Err(Malformed("it holds control characters"));
        }
        let at = note.rfind("\n\n").ok_or(Malformed("there is no blank line"))?;
        let checkpoint = Checkpoint::parse(&note[..=at])?;
        let lines = note[at + 2..].strip_suffix('\n');
        let lines = lines.ok_or(Malformed("it does not end with a line end"))?;
        if lines.split('\n').count() > SIGNATURES_MAX {
            return Err(Malformed("it has more than 32 signatures"));
        }
        let signatures = lines.split('\n').map(Signature::parse).collect::<Option<_>>();
        let signatures = signatures.ok_or(Malformed("a line is no signature"))?;
        Ok(Self { checkpoint, signatures })
    }

    /// The checkpoint, when at least one of the keys has signed it and no signature under the name
    /// and id of one of them is false. Signatures of others are not looked at.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<&Checkpoint, Unvouched> {
        let text = self.checkpoint.text();
        let mut is_vouched = false;
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| signature.names(key)) {
                if !signature.fits(key, &text) {
                    return Err(Unvouched::Forged { name: key.name().to_owned() });
                }
                is_vouched = true;
            }
        }
        if is_vouched { Ok(&self.checkpoint) } else { Err(Unvouched::Unknown) }
    }

    /// For our own records only, or to say whose checkpoint could not be verified.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl Signature {
    fn parse(line: &str) -> Option<Self> {
        let (name, text) = line.strip_prefix(SIGNATURE_BEGIN)?.split_once(' ')?;
        let bytes = STANDARD.decode(text).ok()?;
        let (key_id, bytes) = bytes.split_first_chunk()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            key_id: *key_id,
            bytes: bytes.to_vec(),
        })
    }

    fn names(&self, key: &PublicKey) -> bool {
        self.name == key.name() && self.key_id == key.id()
    }

    fn fits(&self, key: &PublicKey, text: &str) -> bool {
        let bytes = self.bytes.as_slice().try_into();
        bytes.is_ok_and(|bytes| key.is_signed(text.as_bytes(), bytes))
    }
}

/// Decimal, without leading zeros.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    if is_decimal && !has_zeros { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::{ORIGIN, key};
    use crate::audit::tree::Hash;
    use proptest::prelude::*;

    fn checkpoint(size: u64, byte: u8) -> Checkpoint {
        Checkpoint::new(ORIGIN, Head { size, root: Hash([byte; 32]) }, None).unwrap()
    }

    fn timed() -> Checkpoint {
        let at = Timestamp::from_millis(1_795_687_112_250);
        let head = Head { size: 20_852_163, root: Hash([7; 32]) };
        Checkpoint::new(ORIGIN, head, Some(at)).unwrap()
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let key = key(ORIGIN, 1);
        let note = timed().sign(&[&key]);
        let text = "purser.example.com/trail\n20852163\n\
                    BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\ntime 2026-11-26T09:58:32.250Z\n\n\
                    — purser.example.com/trail ";
        assert!(note.starts_with(text), "{note}");
        let parsed = Note::parse(&note).unwrap();
        assert_eq!(parsed.verify(&[key.public().clone()]), Ok(&timed()));
        assert_eq!(parsed.unverified().time(), timed().time());
        assert!(timed().time().is_some() && checkpoint(1, 1).time().is_none());
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let note = "example.com/behind-the-sofa\n20852163\n\
                    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
                    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeO\
                    oRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let parsed = Note::parse(note).unwrap();
        assert_eq!(parsed.unverified().head().size, 20_852_163);
        assert_eq!(parsed.verify(&[key(ORIGIN, 1).public().clone()]), Err(Unvouched::Unknown));
    }

    #[test]
    fn one_known_key_is_enough_and_a_false_signature_of_a_known_one_too_much() {
        let (old, new, stranger) = (key(ORIGIN, 1), key(ORIGIN, 2), key("witness.example", 3));
        let publics = |keys: &[&SigningKey]| -> Vec<_> {
            keys.iter().map(|key| key.public().clone()).collect()
        };
        let note = timed().sign(&[&old, &stranger]);
        let parsed = Note::parse(&note).unwrap();
        assert!(parsed.verify(&publics(&[&new, &old])).is_ok());
        assert!(parsed.verify(&publics(&[&stranger])).is_ok());
        assert_eq!(parsed.verify(&publics(&[&new])), Err(Unvouched::Unknown));
        assert_eq!(parsed.verify(&[]), Err(Unvouched::Unknown));

        let other = checkpoint(9, 9).sign(&[&stranger]);
        let (_, foreign) = other.split_once("\n\n").unwrap();
        let mixed = Note::parse(&format!("{}{foreign}", timed().sign(&[&old]))).unwrap();
        assert!(mixed.verify(&publics(&[&old])).is_ok());
        let forged = Unvouched::Forged { name: "witness.example".to_owned() };
        assert_eq!(mixed.verify(&publics(&[&old, &stranger])), Err(forged));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let good = timed().sign(&[&key(ORIGIN, 1)]);
        assert!(Note::parse(&good).is_ok());
        let with = |from: &str, to: &str| good.replacen(from, to, 1);
        for wrong in [
            String::new(),
            "\n\n".to_owned(),
            with("\n\n", "\n"),
            with("\n\n", "\n\n\n"),
            with("\n\n", "\r\n\r\n"),
            with("20852163", "020852163"),
            with("20852163", "+20852163"),
            with("20852163", "2e7"),
            with("20852163", " 20852163"),
            with("20852163", "18446744073709551616"),
            with("20852163", "0"),
            with("20852163\n", ""),
            with("20852163\n", "20852163\n\n"),
            with("Bwc=", "Bwc"),
            with("Bwc=", "Bwd="),
            with("Bwc=", "Bwc=="),
            with(ORIGIN, ""),
            with(ORIGIN, "a\tb"),
            with("— ", "- "),
            with("— ", "—"),
            with("— ", "—  "),
            with("— purser", "— +purser"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}more\n"),
            format!("{good}— a AAAAAA==\n"),
            format!("\n{good}"),
            good.clone() + &"— a AAAAAAA=\n".repeat(32),
            with(ORIGIN, &"x".repeat(70_000)),
        ] {
            assert!(Note::parse(&wrong).is_err(), "{wrong}");
        }
        let many = good.clone() + &"— a AAAAAAA=\n".repeat(31);
        assert!(Note::parse(&many).is_ok());
        let empty = Head { size: 0, root: empty_root() };
        assert!(Checkpoint::new("two words", empty, None).is_err());
        assert!(Checkpoint::new("a", Head { size: 0, root: Hash([0; 32]) }, None).is_err());
    }

    #[test]
    fn two_roots_for_one_size_disagree() {
        let (one, other) = (checkpoint(7, 1), checkpoint(7, 2));
        assert_eq!(one.compare(&other), Relation::Disagree);
        assert_eq!(one.compare(&one), Relation::Same);
        assert_eq!(one.compare(&checkpoint(8, 1)), Relation::Before);
        assert_eq!(one.compare(&checkpoint(6, 1)), Relation::After);
        let elsewhere = Checkpoint::new("other.example", one.head(), None).unwrap();
        assert_eq!(one.compare(&elsewhere), Relation::OtherLog);
    }

    proptest! {
        #[test]
        fn one_changed_character_is_noticed(at: prop::sample::Index, to in "[ -~\n]") {
            let key = key(ORIGIN, 1);
            let note = timed().sign(&[&key]);
            let at = at.index(note.chars().count());
            let mut changed: Vec<String> = note.chars().map(String::from).collect();
            prop_assume!(changed[at] != to);
            changed[at] = to;
            let keys = [key.public().clone()];
            let read = Note::parse(&changed.concat());
            prop_assert!(read.map_or(true, |note| note.verify(&keys).is_err()));
        }

        #[test]
        fn what_is_read_is_what_is_written(
            origin in "\\PC{1,9}",
            size: u64,
            root: [u8; 32],
            lines in proptest::collection::vec("\\PC{1,9}", 0..3),
        ) {
            let head = Head { size: size.max(1), root: Hash(root) };
            let checkpoint = Checkpoint { origin, head, extensions: lines };
            let note = Note::parse(&checkpoint.sign(&[&key("a", 1)])).unwrap();
            prop_assert_eq!(note.unverified(), &checkpoint);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(\\PC{0,9}\n){0,6}(— a \\PC{0,9}\n)?") {
            let _ = Note::parse(&text);
        }
    }
}
