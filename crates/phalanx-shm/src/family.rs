//! A process's view of its family: the arena, its own place in the process table, its holds.
//!
//! The first process that shares anything makes an arena; its descendants use the same one, forked
//! children because they inherit the mapping, spawned ones because they are passed the descriptor.
//! Around a fork, handlers of the C library (`pthread_atfork`) reserve a place for the child and
//! give it all of its parent's holds *before* it exists, so that nothing it inherited can vanish.
//!
//! | a process dies | what remains | who repairs |
//! |---|---|---|
//! | parent, between reserving and forking | a reserved place with holds | the sweep, once its parent is known to be dead |
//! | child, before its handler ran | a place whose pid only the parent can name | the parent ([`Family::name_child`]), else the age limit of such places |
//! | any process, at any other time | its chunks, holds, held locks | [`Peers::check`] by whoever asks: its parent, or a waiter |

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::arena::{AllocError, Arena, Chunk, ChunkState, Magazines};
use crate::failpoint;
use crate::object::ObjectHeader;
use crate::passage;
use crate::patience::Patience;
use crate::peers::{Peers, SlotId};
use crate::slot::Generation;
use crate::sweep;
use crate::sync::Deadline;
use crate::table::Life;

/// So often at most are processes asked after whose end nobody may have told of.
const LOOK_FOR_ORPHANS_NS: u64 = 100_000_000;

/// What a process keeps for itself, under one lock so that a fork can copy it whole.
struct Local {
    magazines: Magazines,
    holds: HashMap<u64, u32>,
    /// Places that this process reserved for children, and their generations: anybody may have
    /// swept the child meanwhile and given its place to somebody else.
    children: HashMap<SlotId, Generation>,
}

/// A process's view of the family it belongs to. There is one for each process; it is never
/// dropped.
pub struct Family {
    arena: Arena,
    me: AtomicU16,
    /// When this process last asked after those whose parents have ended.
    orphans_at: AtomicU64,
    local: Mutex<Local>,
    freed_passages: AtomicBool,
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Family {{ me: {} }}", self.me.load(Ordering::Relaxed))
    }
}

static FAMILY: AtomicPtr<Family> = AtomicPtr::new(std::ptr::null_mut());
/// The pid of the process that is creating or joining a family. Not a lock of the C library's
/// kind: a child forked meanwhile must not take its parent's pid in here for its own.
static CREATING: AtomicU32 = AtomicU32::new(0);

struct Creating;

impl Creating {
    fn begin() -> Self {
        let me = std::process::id();
        loop {
            let holder = CREATING.load(Ordering::Acquire);
            let is_free = holder != me;
            if is_free
                && CREATING
                    .compare_exchange(holder, me, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                return Self;
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Creating {
    fn drop(&mut self) {
        CREATING.store(0, Ordering::Release);
    }
}

thread_local! {
    static AT_FORK: RefCell<Option<(MutexGuard<'static, Local>, Option<SlotId>)>> =
        const { RefCell::new(None) };
    static NEXT_CHILD: Cell<Option<SlotId>> = const { Cell::new(None) };
    static LAST_FORKED: Cell<Option<SlotId>> = const { Cell::new(None) };
}

impl Family {
    /// This process's family; the first call of a process that inherited none creates one.
    ///
    /// # Errors
    /// When the kernel refuses the arena's descriptor or address space.
    pub fn get() -> io::Result<&'static Self> {
        match Self::existing() {
            Some(family) => Ok(family),
            None => {
                let _creating = Creating::begin();
                match Self::existing() {
                    Some(family) => Ok(family),
                    None => Self::found(Arena::create(None)?, None),
                }
            }
        }
    }

    /// This process's family, if it has one yet.
    #[must_use]
    pub fn existing() -> Option<&'static Self> {
        let family = FAMILY.load(Ordering::Acquire);
        // SAFETY: once set, the pointer comes from a leaked box.
        #[allow(unsafe_code)]
        unsafe {
            family.as_ref()
        }
    }

    /// Joins the family behind a descriptor, at the place its parent reserved. For a spawned child,
    /// before it does anything else with this crate.
    ///
    /// # Errors
    /// When the process has a family already, or the descriptor is no arena.
    pub fn attach(arena: OwnedFd, place: SlotId) -> io::Result<&'static Self> {
        let _creating = Creating::begin();
        if Self::existing().is_some() {
            return Err(io::Error::other("the process already belongs to a phalanx family"));
        }
        Self::found(Arena::attach(arena)?, Some(place))
    }

    fn found(arena: Arena, place: Option<SlotId>) -> io::Result<&'static Self> {
        let place = match place {
            Some(place) => place,
            None => arena.table().reserve(0).ok_or_else(table_full)?,
        };
        if !arena.table().adopt(place, std::process::id()) {
            return Err(io::Error::other(
                "the place reserved for this process in its family is gone: it was started too \
                 late, or the process that started it took it for dead",
            ));
        }
        let local =
            Local { magazines: Magazines::new(), holds: HashMap::new(), children: HashMap::new() };
        let family = Self {
            arena,
            me: AtomicU16::new(place.raw()),
            orphans_at: AtomicU64::new(0),
            local: Mutex::new(local),
            freed_passages: AtomicBool::new(false),
        };
        let family: &'static Self = Box::leak(Box::new(family));
        // The handlers first: a child forked in between would take itself for its parent.
        phalanx_os::fork::at_fork(before_fork, after_fork_in_parent, after_fork_in_child)?;
        FAMILY.store(std::ptr::from_ref(family).cast_mut(), Ordering::Release);
        Ok(family)
    }

    /// The shared memory.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// The arena's descriptor, to be passed to a child that is spawned.
    #[must_use]
    pub fn arena_fd(&self) -> BorrowedFd<'_> {
        self.arena.as_fd()
    }

    /// Reserves a place for a child that is about to be started other than by a fork here.
    ///
    /// # Errors
    /// When as many processes as the table has places share the arena.
    pub fn reserve_child(&self) -> io::Result<SlotId> {
        let place = self.reserve().ok_or_else(table_full)?;
        self.local().children.insert(place, self.arena.table().generation(place));
        Ok(place)
    }

    /// A place for a child. When there is none left, those are looked for whose process has ended
    /// without anybody telling.
    fn reserve(&self) -> Option<SlotId> {
        self.sweep_orphans();
        let (table, me) = (self.arena.table(), self.me().raw());
        let any = || {
            table.reserve(me).or_else(|| {
                self.sweep_all();
                table.reserve(me)
            })
        };
        // Not one of a child that others have swept and whose end this process has yet to learn of:
        // it would take that for the end of the new one.
        let mut aside = Vec::new();
        let place = loop {
            match any() {
                Some(place) if self.local().children.contains_key(&place) => aside.push(place),
                other => break other.or_else(|| aside.pop()),
            }
        };
        aside.into_iter().for_each(|place| table.unreserve(place));
        place
    }

    /// Repairs what processes left whose end nobody has told of: their parents have ended before, or
    /// have forked and reaped them without us. What such a process holds is otherwise kept until its
    /// place is needed.
    fn sweep_orphans(&self) {
        let now = Deadline::now().as_nanos();
        let last = self.orphans_at.load(Ordering::Relaxed);
        if now < last.saturating_add(LOOK_FOR_ORPHANS_NS)
            || self
                .orphans_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let (table, me) = (self.arena.table(), self.me());
        let parent = table.parent(me);
        for slot in table.ids() {
            // The end of our own parent is our end. A child that has not been reaped will be.
            let is_ours = table.parent(slot) == Some(me);
            let is_orphan = table.parent(slot).is_none() && slot != me && Some(slot) != parent;
            let may_be_over = is_orphan || (is_ours && table.is_reaped(slot));
            if may_be_over && table.life(slot) == Life::Dead {
                sweep::bury(self, slot);
            }
        }
    }

    /// Asks after every process of the family, and repairs what the dead ones left.
    pub fn sweep_all(&self) {
        for slot in self.arena.table().ids() {
            if self.arena.table().life(slot) == Life::Dead {
                sweep::bury(self, slot);
            }
        }
    }

    /// The next fork of this thread puts the child at the given, already reserved place.
    pub fn next_child(&self, place: SlotId) {
        NEXT_CHILD.set(Some(place));
    }

    /// The place of the child that this thread forked last.
    #[must_use]
    pub fn last_forked(&self) -> Option<SlotId> {
        LAST_FORKED.get()
    }

    /// Tells the table the pid of a child. The child does the same; whoever is first wins.
    pub fn name_child(&self, place: SlotId, pid: u32) {
        let known = self.local().children.get(&place).copied();
        let table = self.arena.table();
        table.adopt_as(place, pid, known.unwrap_or_else(|| table.generation(place)));
    }

    /// Records how the process at `place` ended: its raw wait status.
    pub fn set_status(&self, place: SlotId, raw_status: i32) {
        let known = self.local().children.get(&place).copied();
        if known.is_none_or(|generation| generation == self.arena.table().generation(place)) {
            self.arena.table().set_status(place, raw_status);
        }
    }

    /// How the process at `place` ended, once its reaper has recorded it.
    #[must_use]
    pub fn status(&self, place: SlotId) -> Option<i32> {
        self.arena.table().status(place)
    }

    /// A process has ended (it has been reaped, or was never started): repairs what it left and
    /// gives its place out again.
    ///
    /// Does nothing when somebody else has noticed and done that before, even if the place is in
    /// use again. For a place that this process did not reserve, the kernel is asked first.
    pub fn on_child_end(&self, place: SlotId) {
        let known = self.local().children.remove(&place);
        match known {
            Some(generation) => sweep::bury_as(self, place, generation),
            None => {
                sweep::bury(self, place);
            }
        }
    }

    /// Takes a chunk for this process; see [`Arena::alloc`].
    ///
    /// # Errors
    /// [`AllocError`] when there is no memory.
    pub fn alloc(&self, len: usize) -> Result<Chunk, AllocError> {
        self.arena.alloc(len, self.me(), &mut self.local().magazines)
    }

    /// Gives back a chunk that this process owns. A chunk inherited over a fork is its parent's and
    /// is left alone.
    pub fn free(&self, chunk: Chunk) {
        if self.arena.state_of(chunk) == (ChunkState::Owned, Some(self.me())) {
            if passage::forget(&self.arena, chunk) {
                self.freed_passages.store(true, Ordering::Release);
            }
            self.arena.free(chunk, &mut self.local().magazines);
        }
    }

    /// Gives memory that is not in use back to the system. For moments of idleness.
    pub fn give_back(&self) {
        self.arena.give_back(self.me(), &mut self.local().magazines);
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_hold(&self, offset: u64) {
        *self.local().holds.entry(offset).or_insert(0) += 1;
    }

    /// Holds an object that cannot end meanwhile.
    pub(crate) fn take_hold(&self, offset: u64, header: &ObjectHeader) {
        let mut local = self.local();
        header.holders().add(self.me());
        *local.holds.entry(offset).or_insert(0) += 1;
    }

    /// Whether this process has freed a passage unopened since it was last asked.
    pub(crate) fn has_freed_passages(&self) -> bool {
        self.freed_passages.load(Ordering::Relaxed)
            && self.freed_passages.swap(false, Ordering::AcqRel)
    }

    /// Destroys what was named by messages that have been freed unread and that nobody holds.
    pub fn collect(&self) {
        if self.has_freed_passages() {
            sweep::collect_freed(self);
        }
    }

    /// Notes a handle to an object if `is_ours` says that this process holds it. No other thread
    /// can drop the hold in between.
    pub(crate) fn note_hold_if(&self, offset: u64, is_ours: impl FnOnce() -> bool) -> bool {
        let mut local = self.local();
        let ours = is_ours();
        if ours {
            *local.holds.entry(offset).or_insert(0) += 1;
        }
        ours
    }

    /// Forgets the only handle to an object if `take` says that the object is gone. Nobody can fork, and
    /// so give the hold to a child, in between.
    pub(crate) fn end_hold_if(&self, offset: u64, take: impl FnOnce() -> bool) -> bool {
        let mut local = self.local();
        let taken = local.holds.get(&offset) == Some(&1) && take();
        if taken {
            local.holds.remove(&offset);
        }
        taken
    }

    pub(crate) fn drop_hold(&self, offset: u64) {
        let header: &ObjectHeader = self.arena.at(offset);
        {
            let mut local = self.local();
            let Some(count) = local.holds.get_mut(&offset) else {
                return;
            };
            *count -= 1;
            if *count > 0 {
                return;
            }
            local.holds.remove(&offset);
            header.holders().remove(self.me());
        }
        failpoint!("object.drop.unheld");
        if !header.holders().any() {
            sweep::destroy_unheld(self, offset);
        }
    }

    /// Takes the lock under which dead processes are swept and objects destroyed. Its holder may
    /// itself have died half way; then what it was doing is done first.
    ///
    /// `None` after `limit`: then its holder is stopped. What was to be done is left to the next
    /// who has the lock.
    pub(crate) fn housekeeping(&self, limit: Duration) -> Option<Housekeeping<'_>> {
        let waiter = HousekeepingPeers(self);
        let patience = Patience::timeout(Some(limit));
        self.arena.housekeeping().lock(&waiter, &patience).is_ok().then(|| Housekeeping(self))
    }
}

/// The right to sweep and destroy.
pub(crate) struct Housekeeping<'a>(&'a Family);

impl Drop for Housekeeping<'_> {
    fn drop(&mut self) {
        self.0.arena.housekeeping().unlock();
    }
}

/// A waiter for the housekeeping lock must not sweep, which needs that very lock: it only looks,
/// and takes the lock from a dead holder.
struct HousekeepingPeers<'a>(&'a Family);

impl Peers for HousekeepingPeers<'_> {
    fn me(&self) -> SlotId {
        self.0.me()
    }

    fn pid(&self, slot: SlotId) -> u32 {
        self.0.pid(slot)
    }

    fn check(&self, slot: SlotId) -> bool {
        let alive = self.0.arena.table().life(slot) == Life::Alive;
        if !alive {
            // What it was sweeping is marked in the table and swept by the next who has the lock.
            let lock = self.0.arena.housekeeping();
            let is_dead = |holder| self.0.arena.table().life(holder) != Life::Alive;
            if lock.take_over(self.0.me(), is_dead) {
                lock.release_dead();
            }
        }
        alive
    }
}

impl Peers for Family {
    #[inline]
    fn me(&self) -> SlotId {
        // A child that found no place at its fork has number 0; it takes one when it first asks.
        SlotId::from_raw(self.me.load(Ordering::Relaxed)).unwrap_or_else(|| self.late_place())
    }

    fn pid(&self, slot: SlotId) -> u32 {
        self.arena.table().pid(slot)
    }

    fn check(&self, slot: SlotId) -> bool {
        if slot == self.me() {
            return true;
        }
        match self.arena.table().life(slot) {
            Life::Alive => true,
            // Where the repair cannot be done now the answer is yes: the caller asks again, and looks
            // at its own deadline meanwhile.
            Life::Vacant => !sweep::repair_after(self, slot),
            Life::Dead => !sweep::bury(self, slot),
        }
    }
}

impl Family {
    #[cold]
    fn late_place(&self) -> SlotId {
        loop {
            if let Some(place) = self.arena.table().reserve(0) {
                self.arena.table().adopt(place, std::process::id());
                self.me.store(place.raw(), Ordering::Relaxed);
                return place;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn table_full() -> io::Error {
    io::Error::other(format!(
        "more than {} processes would share one arena; wait for some to end",
        crate::table::MAX_PROCESSES - 1
    ))
}

extern "C" fn before_fork() {
    let Some(family) = Family::existing() else {
        return;
    };
    // Before the lock: this may sweep, which frees chunks. The places of children that are
    // started otherwise are in the table of children already.
    let given = NEXT_CHILD.take();
    let place = given.or_else(|| family.reserve());
    let mut local = family.local();
    if let Some(place) = place {
        if given.is_none() {
            local.children.insert(place, family.arena.table().generation(place));
        }
        failpoint!("family.fork.reserved");
        for offset in local.holds.keys() {
            family.arena.at::<ObjectHeader>(*offset).holders().add(place);
        }
        failpoint!("family.fork.held");
    }
    AT_FORK.with(|at| *at.borrow_mut() = Some((local, place)));
}

extern "C" fn after_fork_in_parent() {
    LAST_FORKED.set(AT_FORK.with(|at| at.borrow_mut().take()).and_then(|(_, place)| place));
}

extern "C" fn after_fork_in_child() {
    let Some(family) = Family::existing() else {
        return;
    };
    let Some((mut local, place)) = AT_FORK.with(|at| at.borrow_mut().take()) else {
        // Another thread made the family while this one was forking: it is not the child's.
        FAMILY.store(std::ptr::null_mut(), Ordering::Release);
        return;
    };
    local.magazines.forget();
    local.children.clear();
    failpoint!("family.fork.nameless");
    let place = place.filter(|place| family.arena.table().adopt(*place, std::process::id()));
    family.me.store(place.map_or(0, SlotId::raw), Ordering::Relaxed);
}
