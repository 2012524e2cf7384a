//! `[limits]`: how often anybody may ask who shows no key.

use std::num::NonZeroU32;

use super::section::Section;

#[derive(Debug, Clone)]
pub struct Limits {
    pub anonymous_per_minute: NonZeroU32,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let per_minute = section.number("anonymous_per_minute", 1_u32..=1_000_000);
        Self { anonymous_per_minute: NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN) }
    }
}
