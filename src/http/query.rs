//! Reads query strings and the ids in paths, and the two ways to page through a list.
//!
//! Enters: a URI. Leaves: checked values, or the contract's complaint. An id may hold raw or encoded
//! slashes, as SDKs differ: what stands behind the route's prefix is the id, whole.
//!
//! **Invariant:** no text that leaves this file holds a NUL.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::Problem;
use crate::lead::FieldFault;
use crate::lead::text::has_nul;
use crate::store::Page;

const PAGE_MAX: i64 = 1000;
const PAGE_SIZE_MAX: i64 = 100;
const PAGE_TOO_BIG: &str =
    "Page is too big (cannot be more than 1000), recommend using cursor-based pagination instead.";
const BOTH_CURSORS: &str = "You cannot use both startingAfter and endingBefore at the same time.";
const CURSOR_AND_SORT: &str = "Cursor-based pagination only supports sorting by `createdAt`. Use offset-based pagination (page/pageSize) for other sort fields.";
const CURSOR_AND_PAGE: &str =
    "You cannot use both page and startingAfter/endingBefore at the same time. Please use one pagination method.";

/// What an unknown cursor is answered.
pub(super) const NO_SUCH_CURSOR: &str = "Invalid cursor: the provided ID does not exist.";

/// The parameters of a query; of repeated ones the first counts.
#[derive(Debug)]
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    Offset(i64),
    After(String),
    Before(String),
}

/// A page as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) cursor: Cursor,
    pub(super) size: i64,
    pub(super) ascending: bool,
}

impl<'a> Query<'a> {
    pub(super) fn of(uri: &'a Uri) -> Result<Self, FieldFault> {
        let pairs: Vec<_> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
        match pairs.iter().find(|(name, value)| has_nul(name) || has_nul(value)) {
            Some((name, _)) if !has_nul(name) => Err(FieldFault::nul(name)),
            Some(_) => Err(FieldFault::nul("")),
            None => Ok(Self(pairs)),
        }
    }

    /// A parameter; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        Some(value.as_ref()).filter(|value| !value.is_empty())
    }

    /// Whether a parameter stands there at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// `true` or `false`; `false` when absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, FieldFault> {
        let word = self.option(name, &["true", "false"])?;
        Ok(word == Some("true"))
    }

    /// One of a closed set of words.
    pub(super) fn option(&self, name: &str, options: &[&'static str]) -> Result<Option<&'static str>, FieldFault> {
        let Some(given) = self.get(name) else {
            return Ok(None);
        };
        let known = options.iter().find(|option| **option == given);
        known.map(|option| Some(*option)).ok_or_else(|| FieldFault::not_an_option(name, options))
    }

    /// The page asked for; cursors go with the order by creation only.
    pub(super) fn paging(&self, by_creation: bool) -> Result<Paging, Problem> {
        let page = self.number("page", i64::MAX)?;
        let size = self.number("pageSize", PAGE_SIZE_MAX)?.unwrap_or(PAGE_SIZE_MAX);
        let ascending = self.option("sortOrder", &["asc", "desc"])? == Some("asc");
        let cursor = match (self.owned("startingAfter"), self.owned("endingBefore")) {
            (Some(_), Some(_)) => return Err(Problem::unprocessable(BOTH_CURSORS)),
            (Some(id), None) => Cursor::After(id),
            (None, Some(id)) => Cursor::Before(id),
            (None, None) => {
                let page = page.unwrap_or(1);
                if page > PAGE_MAX {
                    return Err(Problem::unprocessable(PAGE_TOO_BIG));
                }
                Cursor::Offset((page - 1) * size)
            }
        };
        if !matches!(cursor, Cursor::Offset(_)) {
            if !by_creation {
                return Err(Problem::unprocessable(CURSOR_AND_SORT));
            }
            if page.is_some() {
                return Err(Problem::unprocessable(CURSOR_AND_PAGE));
            }
        }
        Ok(Paging { cursor, size, ascending })
    }

    fn number(&self, name: &str, max: i64) -> Result<Option<i64>, FieldFault> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let number: i64 = text.parse().map_err(|_| FieldFault::wrong_type(name, "number", "NaN"))?;
        if number <= 0 {
            return Err(FieldFault::new("too_small", name, "Too small: expected number to be >0"));
        }
        if number > max {
            let message = format!("Too big: expected number to be <={max}");
            return Err(FieldFault::new("too_big", name, &message));
        }
        Ok(Some(number))
    }
}

impl Paging {
    /// The page in the store's terms, once the cursor's id is known. `true`: turn the rows round afterwards.
    ///
    /// What comes before a cursor is read walking away from it, and so arrives backwards.
    pub(super) fn bounds(&self, cursor: Option<Uuid>) -> (Page, bool) {
        let backwards = matches!(self.cursor, Cursor::Before(_));
        let ascending = self.ascending != backwards;
        let offset = match self.cursor {
            Cursor::Offset(offset) => offset,
            Cursor::After(_) | Cursor::Before(_) => 0,
        };
        let mut page = Page { above: Uuid::nil(), below: Uuid::max(), ascending, limit: self.size, offset };
        match cursor {
            Some(id) if ascending => page.above = id,
            Some(id) => page.below = id,
            None => {}
        }
        (page, backwards)
    }
}

/// What stands in the path behind a route's prefix, decoded; `None` when that is no clean text.
pub(super) fn path_id(uri: &Uri, prefix: &str) -> Option<String> {
    let path = uri.path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let id = percent_decode_str(path.strip_prefix(prefix)?).decode_utf8().ok()?;
    (!has_nul(&id)).then(|| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(query: &str, by_creation: bool) -> Result<Paging, String> {
        let uri: Uri = format!("/links?{query}").parse().unwrap();
        let query = Query::of(&uri).unwrap();
        query.paging(by_creation).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn ids_may_hold_slashes_encoded_or_not() {
        let rows = [
            ("/customers/ext_a/b%20c", Some("ext_a/b c")),
            ("/api/customers/ext_a%2Fb%20c", Some("ext_a/b c")),
            ("/customers/%FF", None),
            ("/customers/a%00", None),
        ];
        for (path, expected) in rows {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(path_id(&uri, "/customers/").as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_two_ways_to_page_do_not_mix() {
        assert_eq!(
            paging("page=3&pageSize=20", false).unwrap(),
            Paging { cursor: Cursor::Offset(40), size: 20, ascending: false }
        );
        let rows = [
            ("startingAfter=a&endingBefore=b", true, BOTH_CURSORS),
            ("startingAfter=a", false, CURSOR_AND_SORT),
            ("startingAfter=a&page=2", true, CURSOR_AND_PAGE),
            ("page=1001", true, PAGE_TOO_BIG),
            ("pageSize=101", true, "too_big: pageSize: Too big: expected number to be <=100"),
            ("page=x", true, "invalid_type: page: Invalid input: expected number, received NaN"),
            ("page=0", true, "too_small: page: Too small: expected number to be >0"),
            ("sortOrder=up", true, "expected one of \\\"asc\\\"|\\\"desc\\\""),
        ];
        for (query, by_creation, expected) in rows {
            let said = paging(query, by_creation).unwrap_err();
            assert!(said.contains(expected), "{query}: {said}");
        }
    }

    #[test]
    fn a_cursor_bounds_the_side_it_stands_on() {
        let id = Uuid::from_u128(5);
        for (query, above, below, backwards) in [
            ("startingAfter=x", Uuid::nil(), id, false),
            ("startingAfter=x&sortOrder=asc", id, Uuid::max(), false),
            ("endingBefore=x", id, Uuid::max(), true),
            ("endingBefore=x&sortOrder=asc", Uuid::nil(), id, true),
        ] {
            let (page, turned) = paging(query, true).unwrap().bounds(Some(id));
            assert_eq!((page.above, page.below, turned), (above, below, backwards), "{query}");
        }
    }
}
