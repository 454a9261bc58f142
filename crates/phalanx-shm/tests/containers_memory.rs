//! What maps and lists take, they give back. In a program of its own, since it counts the chunks of all.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Mutex, PoisonError};

use phalanx_shm::containers::{Key, List, LockedList, LockedMap, Map, Staged};
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;

static ALONE: Mutex<()> = Mutex::new(());

fn family() -> &'static Family {
    Family::get().unwrap()
}

fn new_map() -> Shared<Map> {
    Shared::new(family(), |map: &Map| map.prepare([1, 2], 3)).unwrap()
}

fn new_list() -> Shared<List> {
    Shared::new(family(), |list: &List| list.prepare(3)).unwrap()
}

fn open(map: &Map) -> LockedMap<'_, Family> {
    map.lock(family(), &Patience::forever()).unwrap()
}

fn open_list(list: &List) -> LockedList<'_, Family> {
    list.lock(family(), &Patience::forever()).unwrap()
}

fn entry(key: &[u8], value: &[u8]) -> Staged<'static, Family> {
    Staged::entry(family(), Key { identity: key, form: b"" }, value).unwrap()
}

/// What the chunks of the arena are, but for those that this process keeps for later.
fn parts() -> usize {
    family().arena().census().parts
}

#[test]
fn what_is_removed_gives_its_memory_back() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = family();
    let before = parts();
    let (map, list) = (new_map(), new_list());
    for n in 0..1000u32 {
        open(&map).put(entry(&n.to_le_bytes(), &[1; 300])).unwrap();
        open_list(&list).push(Staged::item(memory, &[2; 300]).unwrap()).unwrap();
    }
    assert!(parts() > before + 2000);
    for n in 0..1000u32 {
        let mut locked = open(&map);
        let (found, _) = locked.find(&n.to_le_bytes()).unwrap();
        locked.remove(found);
        open_list(&list).remove(0).unwrap();
    }
    assert!(parts() <= before + 2, "a table each, at most");
    open(&map).put(entry(b"key", b"value")).unwrap();
    open(&map).clear();
    open_list(&list).clear();
    assert_eq!(parts(), before);
    open(&map).put(entry(b"key", b"value")).unwrap();
    drop((map, list));
    assert_eq!(parts(), before, "what is in it goes with the container");
}

#[test]
fn what_was_never_put_in_is_freed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = family();
    memory.give_back();
    let before = memory.arena().census();
    drop(entry(b"key", b"value"));
    let list = new_list();
    let item = || Staged::item(memory, b"item").unwrap();
    open_list(&list).rearrange(&[1], vec![item(), item()]).unwrap();
    assert_eq!(open_list(&list).len(), 1);
    drop(list);
    memory.give_back();
    assert_eq!(memory.arena().census(), before);
}
