//! Finding a file in a zip archive that is part of this binary.
//!
//! Only what that archive uses: its files are stored as they are or deflated, and it has no comment
//! longer than one is expected to be. What does not fit is not found, which the tests would say.

/// A file as it lies in the archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    Plain(&'a [u8]),
    Deflated(Deflated<'a>),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Deflated<'a> {
    bytes: &'a [u8],
    crc: [u8; 4],
    inflated_bytes: [u8; 4],
}

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The file `dist/<name>`, below whatever folder the archive consists of.
pub fn find<'a>(archive: &'a [u8], name: &str) -> Option<Stored<'a>> {
    let end = archive.windows(END.len()).rposition(|window| window == END)?;
    let entries = short(archive, end + 10)?;
    let mut at = long(archive, end + 16)?;
    for _ in 0..entries {
        let entry = archive.get(at..)?;
        if !entry.starts_with(ENTRY) {
            return None;
        }
        let name_bytes = short(entry, 28)?;
        let path = entry.get(46..46 + name_bytes)?;
        let inner = path.iter().position(|byte| *byte == b'/').map(|slash| &path[slash + 1..]);
        if inner.and_then(|inner| inner.strip_prefix(b"dist/")) == Some(name.as_bytes()) {
            return stored(archive, entry);
        }
        at += 46 + name_bytes + short(entry, 30)? + short(entry, 32)?;
    }
    None
}

fn stored<'a>(archive: &'a [u8], entry: &[u8]) -> Option<Stored<'a>> {
    let file = archive.get(long(entry, 42)?..)?;
    let start = 30 + short(file, 26)? + short(file, 28)?;
    let bytes = file.get(start..start + long(entry, 20)?)?;
    match short(entry, 10)? {
        0 => Some(Stored::Plain(bytes)),
        8 => {
            let crc = entry.get(16..20)?.try_into().ok()?;
            let inflated_bytes = entry.get(24..28)?.try_into().ok()?;
            Some(Stored::Deflated(Deflated { bytes, crc, inflated_bytes }))
        }
        _ => None,
    }
}

impl Deflated<'_> {
    /// The same file as gzip has it (RFC 1952).
    pub fn gzip(&self) -> Vec<u8> {
        [&GZIP_HEAD, self.bytes, &self.crc, &self.inflated_bytes].concat()
    }
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_le_bytes(two)))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

    #[test]
    fn files_are_found_as_they_are_stored() {
        let picture = find(SWAGGER_UI_VENDORED, "favicon-32x32.png");
        assert!(
            matches!(picture, Some(Stored::Plain(bytes)) if bytes.starts_with(b"\x89PNG\r\n")),
            "{picture:?}"
        );
        let Some(Stored::Deflated(script)) = find(SWAGGER_UI_VENDORED, "swagger-ui-bundle.js")
        else {
            panic!("the script is not there, or not deflated");
        };
        let gzip = script.gzip();
        assert!(gzip.starts_with(&GZIP_HEAD) && gzip.ends_with(&script.inflated_bytes));
    }

    #[test]
    fn what_is_not_there_or_no_archive_is_not_found() {
        assert_eq!(find(SWAGGER_UI_VENDORED, "none.js"), None);
        for broken in [&b""[..], b"PK\x05\x06", &SWAGGER_UI_VENDORED[..1000]] {
            assert_eq!(find(broken, "swagger-ui.css"), None);
        }
    }
}
