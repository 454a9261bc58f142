//! What `phalanx.memory` asks of the engine: digests of objects and of functions, and the cache on disk.

mod array;
mod definition;
mod function;
mod parameters;
mod reduce;
mod store;
mod walk;

pub(crate) use function::{CallKeys, hash_object};
pub(crate) use store::{CacheClaim, CacheEntry, CacheStore};
