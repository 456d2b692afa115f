//! Parses `s3://bucket/prefix`.

use object_store::path::Path;
use tidemark_flow::{Error, ErrorKind};

/// A bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub bucket: String,
    /// Empty for the whole bucket.
    pub prefix: Path,
    /// Whether it can only be a folder: it ends in a slash, or names only the bucket.
    pub is_folder: bool,
}

impl Location {
    /// Parses a place as the user writes it. Keys are used literally; `%20` is not decoded.
    ///
    /// # Errors
    /// [`ErrorKind::Definition`] if bucket or prefix is not valid.
    pub fn parse(place: &str) -> Result<Location, Error> {
        let invalid = |what: &str, hint: &str| Error::new(ErrorKind::Definition, format!("{place}: {what}")).hint(hint);
        let form = "write s3://bucket or s3://bucket/prefix";
        let rest = place.strip_prefix("s3://").ok_or_else(|| invalid("not the location of a bucket", form))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(invalid("the name of the bucket is missing", form));
        }
        if !is_bucket(bucket) {
            let hint = "3 to 63 letters a-z, digits, points and hyphens, with a letter or a digit at either end";
            return Err(invalid(&format!("{bucket} is not the name of a bucket"), hint));
        }
        let plain = prefix.strip_suffix('/').unwrap_or(prefix);
        let path = Path::parse(plain).ok().filter(|path| path.as_ref() == plain);
        let prefix = path.ok_or_else(|| invalid("not a valid prefix", "leave out empty parts, `.` and `..`"))?;
        let is_folder = rest.ends_with('/') || plain.is_empty();
        Ok(Location { bucket: bucket.to_owned(), prefix, is_folder })
    }

    /// The URL, as the user writes it.
    pub fn place(&self) -> String {
        let slash = if self.prefix.as_ref().is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{}", self.bucket, self.prefix)
    }

    /// The folder an object is in, and its name there.
    pub fn split(&self) -> Option<(Location, String)> {
        let key = self.prefix.as_ref();
        let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
        let prefix = Path::parse(folder).ok()?;
        Some((Location { bucket: self.bucket.clone(), prefix, is_folder: true }, name.to_owned()))
    }
}

/// Whether a name follows the bucket naming rules: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_bucket(name: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| is_plain(byte) || b".-".contains(byte))
        && bytes.first().is_some_and(is_plain)
        && bytes.last().is_some_and(is_plain)
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        let parts = |place: &str| {
            let found = Location::parse(place).unwrap();
            (found.bucket.clone(), found.prefix.to_string(), found.is_folder, found.place())
        };
        let is = |bucket: &str, prefix: &str, folder, place: &str| (bucket.into(), prefix.into(), folder, place.into());
        assert_eq!(parts("s3://lake"), is("lake", "", true, "s3://lake"));
        assert_eq!(parts("s3://lake/"), is("lake", "", true, "s3://lake"));
        assert_eq!(parts("s3://lake/a/b"), is("lake", "a/b", false, "s3://lake/a/b"));
        assert_eq!(parts("s3://lake/a/"), is("lake", "a", true, "s3://lake/a"));
        assert_eq!(parts("s3://lake/a b%20ä.csv"), is("lake", "a b%20ä.csv", false, "s3://lake/a b%20ä.csv"));
    }

    #[test]
    fn invalid_places_are_refused() {
        let invalid =
            ["s3://", "s3:///a", "s3:/lake", "lake", "s3://a", "s3://La", "s3://l_ke", "s3://-lake", "s3://l..e"];
        let wrong_prefix = ["s3://lake//a", "s3://lake/a//b", "s3://lake/../b", "s3://lake/./b", "s3://lake/a//"];
        for place in invalid.iter().chain(&wrong_prefix) {
            let error = Location::parse(place).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Definition);
            assert!(error.message.starts_with(place) && error.hint.is_some(), "{place}");
        }
    }

    #[test]
    fn an_object_is_a_name_in_a_folder() {
        let split = |place: &str| Location::parse(place).unwrap().split().map(|(folder, name)| (folder.place(), name));
        assert_eq!(split("s3://lake/a/b.csv"), Some(("s3://lake/a".into(), "b.csv".into())));
        assert_eq!(split("s3://lake/b.csv"), Some(("s3://lake".into(), "b.csv".into())));
    }
}
