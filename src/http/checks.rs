//! Collects what is wrong with a body, so that all of it is told at once.

use crate::kernel::fault::{Fault, FieldError};

#[derive(Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    pub fn add(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail.into()));
    }

    pub fn extend(&mut self, errors: Vec<FieldError>) {
        self.0.extend(errors);
    }

    /// The value, unless something was wrong.
    pub fn or<T>(self, value: T) -> Result<T, Fault> {
        if self.0.is_empty() { Ok(value) } else { Err(Fault::invalid_fields(self.0)) }
    }

    /// What `parse` makes of the value; a default stands in where it refuses, and is never used.
    pub fn parsed<T: Default>(
        &mut self,
        pointer: &str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> T {
        parse(value).unwrap_or_else(|accepted| {
            self.add(pointer, "not_accepted", accepted);
            T::default()
        })
    }

    /// Each element must fit, and stand there once.
    pub fn each(
        &mut self,
        pointer: &str,
        list: &[String],
        fits: impl Fn(&str) -> bool,
        accepted: &str,
    ) {
        for (at, element) in list.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            if !fits(element) {
                self.add(&pointer, "not_accepted", accepted);
            } else if list[..at].contains(element) {
                self.add(&pointer, "repeated", "named once already");
            }
        }
    }
}
