//! Tests of `ksit ui` in a real browser; all code is in `tests/`.
