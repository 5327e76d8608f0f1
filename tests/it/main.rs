//! ksit against real API servers, and against what the tools really install.

mod manifests;
