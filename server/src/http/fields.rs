//! The fields beside the images, in a query or in parts of a multipart body.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;

use super::Problem;
use super::parameters::Parameter;

/// What a request may hold besides its first image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFields {
    /// The fields, in a query or in parts.
    pub(crate) fields: &'static [Parameter],
    /// Most images; `None` for as many as the server's limit allows.
    pub(crate) images: Option<usize>,
    /// Whether a part `mask` may come with the image.
    pub(crate) mask: Mask,
}

/// Whether a part `mask` may come with the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    /// It may.
    Allowed,
    /// It is an unknown field.
    Unknown,
}

impl RequestFields {
    /// The names of everything that a request may hold, as errors list them.
    pub(super) fn known(&self) -> String {
        let parts = match self.mask {
            Mask::Allowed => &["image", "mask"][..],
            Mask::Unknown => &["image"],
        };
        let fields = self.fields.iter().map(|field| field.name);
        let names: Vec<_> = parts.iter().copied().chain(fields).collect();
        names.join(", ")
    }

    /// Whether there is a field of this name.
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }
}

/// Fields as they came in, each at most once and all of them known.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    known: RequestFields,
    values: BTreeMap<String, String>,
}

impl Fields {
    /// Reads the query.
    pub(super) fn from_query(known: RequestFields, uri: &Uri) -> Result<Self, Problem> {
        let pairs: Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|error| invalid("query", error.body_text()))?;
        let mut fields = Self {
            known,
            values: BTreeMap::new(),
        };
        for (name, value) in pairs.0 {
            fields.set(&name, value)?;
        }
        Ok(fields)
    }

    /// Refuses a field that no table has, before its value is looked at.
    pub(super) fn check(&self, name: &str) -> Result<(), Problem> {
        if self.known.has(name) {
            return Ok(());
        }
        Err(unknown(name, self.known.known()))
    }

    /// Takes a field in; one that is there already or does not exist is an error.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        self.check(name)?;
        match self.values.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(invalid(name, "it is given twice: give it once")),
        }
    }

    /// Takes a field out, as a value of its type. What it cannot be is an error that says what it can.
    pub(crate) fn take<T: FromStr<Err: Display>>(
        &mut self,
        Parameter { name, .. }: Parameter,
    ) -> Result<Option<T>, Problem> {
        debug_assert!(self.known.has(name), "{name} is in no table");
        let parsed = self.values.remove(name).map(|value| value.parse());
        parsed
            .transpose()
            .map_err(|error: T::Err| invalid(name, error.to_string()))
    }
}

impl Fields {
    /// A field that was given and not taken out.
    pub(crate) fn left_over(&self) -> Option<&str> {
        self.values.keys().next().map(String::as_str)
    }
}

pub(crate) fn invalid(field: &str, detail: impl Into<String>) -> Problem {
    Problem::InvalidField {
        field: field.to_owned(),
        detail: detail.into(),
    }
}

pub(super) fn unknown(field: &str, known: String) -> Problem {
    Problem::UnknownField {
        field: field.chars().take(100).collect(),
        known,
    }
}
