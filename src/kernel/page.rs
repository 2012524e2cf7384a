//! Pages of a list: how many, and from where. Never by offset.

/// Rows in one page of a list: 1 to 200, 50 unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

pub const LIMIT_MAX: u16 = 200;
const LIMIT_DEFAULT: u16 = 50;

impl Limit {
    pub fn new(rows: u16) -> Option<Self> {
        (1..=LIMIT_MAX).contains(&rows).then_some(Self(rows))
    }

    pub fn rows(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

/// One page, and where the next one starts if there is one.
#[derive(Debug, Clone)]
pub struct Page<T, P> {
    pub items: Vec<T>,
    pub next: Option<P>,
}

impl<T, P> Page<T, P> {
    /// From up to `limit + 1` rows: the extra one only says that there is more.
    pub fn cut(mut rows: Vec<T>, limit: Limit, position: impl FnOnce(&T) -> P) -> Self {
        let more = rows.len() > limit.rows();
        rows.truncate(limit.rows());
        let next = if more { rows.last().map(position) } else { None };
        Self { items: rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extra_row_only_says_that_there_is_more() {
        let two = Limit::new(2).expect("valid");
        let page = Page::cut(vec![1, 2, 3], two, |row| *row);
        assert_eq!((page.items, page.next), (vec![1, 2], Some(2)));
        let last = Page::cut(vec![1, 2], two, |row| *row);
        assert_eq!((last.items, last.next), (vec![1, 2], None));
        assert_eq!((Limit::new(0), Limit::new(201)), (None, None));
    }
}
