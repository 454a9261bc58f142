//! Values on their way into a shared container, and out of it.

use phalanx_shm::arena::AllocError;
use phalanx_shm::containers::{Key, Record, Shape, Staged};
use phalanx_shm::family::Family;

use crate::message::{Arrived, Incoming, ParcelPlan};

/// A value, with its key if it has one, in memory of its own: ready to be put into a container.
/// Freed when dropped.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::manager::{Draft, RawList};
///
/// let list = RawList::new()?;
/// // In shared memory already, before anything is locked:
/// let draft: Draft = Draft::item(list.family(), b"an item")?;
/// list.lock(&Patience::forever())?.push(draft)?;
/// assert_eq!(list.lock(&Patience::forever())?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Draft = Staged<'static, Family>;

/// An entry of a container, readable while that is locked.
///
/// ```
/// use phalanx::Patience;
/// use phalanx::manager::{Draft, RawList, Stored};
///
/// fn text(stored: Stored<'_>) -> String {
///     let mut bytes = Vec::new();
///     stored.value(&mut bytes);
///     String::from_utf8_lossy(&bytes).into_owned()
/// }
///
/// let list = RawList::new()?;
/// list.lock(&Patience::forever())?.push(Draft::item(list.family(), b"an item")?)?;
/// assert_eq!(list.lock(&Patience::forever())?.get(0).map(text).as_deref(), Some("an item"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Stored<'a> = Record<'a, Family>;

/// A value that refers to large buffers: the frame, and behind it the buffers, which
/// `next` copies to the place it is given, in order; each call writes the next one.
///
/// May take as long as copying takes; nothing is locked meanwhile.
///
/// # Errors
/// [`AllocError`] when there is no memory.
pub fn draft_parcel(
    family: &'static Family,
    key: Key<'_>,
    frame: &[u8],
    lengths: &[usize],
    mut buffer: impl FnMut(usize, &mut dyn FnMut(&[u8])),
) -> Result<Draft, AllocError> {
    let mut plan = ParcelPlan::new(frame, lengths);
    let mut draft = Staged::new(family, key, Shape::Parcel, plan.len())?;
    plan.begin(|at, bytes| draft.write(at, bytes));
    for (number, len) in lengths.iter().enumerate() {
        let at = plan.place(*len);
        buffer(number, &mut |bytes| draft.write(at, &bytes[..bytes.len().min(*len)]));
    }
    Ok(draft)
}

/// Copies a value out: a plain one is appended to `frame`, one with buffers becomes a parcel
/// of this process's own.
///
/// # Errors
/// [`AllocError`] when there is no memory for a parcel.
#[inline]
pub fn fetch(
    family: &'static Family,
    stored: Stored<'_>,
    frame: &mut Vec<u8>,
) -> Result<Incoming, AllocError> {
    match stored.shape() {
        Shape::Plain => {
            stored.value(frame);
            Ok(Incoming::Inline)
        }
        Shape::Parcel => {
            let (chunk, at) = stored.place();
            let parcel = Arrived::copy_of(family, chunk + at as u64, stored.value_len())?;
            Ok(Incoming::Parcel(parcel))
        }
    }
}
