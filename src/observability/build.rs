//! The facts of this build.

use jiff::Timestamp;

/// This build.
pub(crate) static BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: known(option_env!("KSIT_REVISION")),
    epoch: option_env!("KSIT_EPOCH"),
    rustc: env!("KSIT_RUSTC"),
    target: env!("KSIT_TARGET"),
};

/// Facts that do not depend on the time or the machine of the build, so that two builds give the same bytes.
pub(crate) struct Build {
    /// Version of the package.
    pub(crate) version: &'static str,
    /// Commit, `-dirty` if files were changed; `unknown` unless `KSIT_REVISION` was set, as `make` does.
    pub(crate) revision: &'static str,
    /// Seconds since 1970 of the commit, from `KSIT_EPOCH`. Build scripts of other crates follow `SOURCE_DATE_EPOCH`,
    /// and would run again after each commit.
    epoch: Option<&'static str>,
    /// Version of the compiler, such as `1.95.0`.
    pub(crate) rustc: &'static str,
    /// Target triple, such as `x86_64-unknown-linux-gnu`.
    pub(crate) target: &'static str,
}

impl Build {
    /// Time of the commit, if set at build time.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.epoch?.parse().ok()?).ok()
    }
}

/// A `make` outside of a checkout sets an empty revision.
const fn known(revision: Option<&'static str>) -> &'static str {
    match revision {
        Some(revision) if !revision.is_empty() => revision,
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_without_a_checkout_has_neither_revision_nor_date() {
        assert_eq!([None, Some(""), Some("abc")].map(known), ["unknown", "unknown", "abc"]);
        let date = |epoch| Build { epoch, ..BUILD }.date().map(|date| date.to_string());
        assert_eq!([None, Some(""), Some("today")].map(date), [const { None }; 3]);
        assert_eq!(date(Some("1796081984")).unwrap(), "2026-11-30T23:39:44Z");
    }

    #[test]
    fn build_names_compiler_and_target() {
        assert!(BUILD.rustc.split('.').count() == 3, "{}", BUILD.rustc);
        assert!(BUILD.target.contains(std::env::consts::ARCH), "{}", BUILD.target);
    }
}
