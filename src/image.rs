//! Images by their names: references, digests, media types and platforms.
//!
//! Everything here is a value that is parsed once and trusted afterwards. Nothing here opens a file: [`crate::store`]
//! reads and writes images.

pub mod digest;
pub mod media_type;
pub mod platform;
pub mod reference;
