//! What the actors do with maps and lists, and what must be true of them whoever died.

use phalanx_shm::containers::{Key, List, LockedList, Map, Staged};
use phalanx_shm::family::Family;
use phalanx_shm::object::Shared;
use phalanx_shm::patience::Patience;

/// Items are put into the list by threes, and leave it so.
const GROUP: usize = 3;
const KEYS: u8 = 40;
const MANY: usize = 60;

/// A map and a list that the actors share.
#[derive(Clone)]
pub(crate) struct Boxes {
    map: Shared<Map>,
    list: Shared<List>,
}

fn key(k: u8) -> [u8; 3] {
    [k, k ^ 0x55, 7]
}

/// An entry whose value tells whether it is whole.
fn entry(family: &'static Family, k: u8, len: usize) -> Staged<'static, Family> {
    let identity = key(k);
    let key = Key { identity: &identity, form: &[] };
    Staged::entry(family, key, &vec![k; len]).expect("memory")
}

fn group(family: &'static Family, name: u8) -> Vec<Staged<'static, Family>> {
    let item = |n| {
        let len = [10, 200, 900][n];
        let mut bytes = vec![name; len];
        bytes[0] = n as u8;
        Staged::item(family, &bytes).expect("memory")
    };
    (0..GROUP).map(item).collect()
}

impl Boxes {
    pub(crate) fn new(family: &'static Family) -> Self {
        let map = Shared::new(family, |map: &Map| map.prepare([3, 4], 1)).expect("memory");
        let list = Shared::new(family, |list: &List| list.prepare(2)).expect("memory");
        Self { map, list }
    }

    /// Uses every operation. Gives up where somebody who is stopped holds a lock.
    pub(crate) fn work(&self, family: &'static Family, round: usize, patience: &Patience<'_>) {
        let draw = |n: usize| (round * 31 + n * 17) as u8 % KEYS;
        for n in 0..12 {
            let staged = entry(family, draw(n), [5, 300, 3000][n % 3]);
            if let Ok(mut map) = self.map.lock(family, patience) {
                map.put(staged).expect("memory");
            }
        }
        for n in 3..8 {
            if let Ok(mut map) = self.map.lock(family, patience)
                && let Some((found, _)) = map.find(&key(draw(n)))
            {
                map.remove(found);
            }
        }
        if let Ok(mut map) = self.map.lock(family, patience) {
            match round % 4 {
                0 => map.clear(),
                1 => {
                    if let Some((found, _)) = map.last() {
                        map.remove(found);
                    }
                }
                _ => {}
            }
        }
        for n in 0..4 {
            let staged = group(family, draw(n));
            if let Ok(mut list) = self.list.lock(family, patience) {
                self.change(&mut list, staged, round + n);
            }
        }
    }

    /// Changes the list by one decision, so that groups stay whole.
    fn change(
        &self,
        list: &mut LockedList<'_, Family>,
        staged: Vec<Staged<'static, Family>>,
        how: usize,
    ) {
        if list.len() > MANY {
            list.clear();
        }
        let len = list.len();
        match how % 6 {
            0 | 1 => list.extend(staged),
            2 => list.splice(0..0, staged),
            3 if len >= 2 * GROUP => list.splice(GROUP..2 * GROUP, staged),
            4 if len >= GROUP => {
                // The last group goes to the front.
                let order: Vec<usize> = (len - GROUP..len).chain(0..len - GROUP).collect();
                list.rearrange(&order, Vec::new())
            }
            5 if len >= GROUP => list.splice(0..GROUP, Vec::new()),
            _ => list.extend(staged),
        }
        .expect("memory");
    }

    /// A list and a map of its own, with something in them when they are dropped.
    pub(crate) fn on_its_own(family: &'static Family) {
        let own = Self::new(family);
        let patience = Patience::forever();
        for k in 0..20 {
            let mut map = own.map.lock(family, &patience).expect("nobody else's");
            map.put(entry(family, k, 100)).expect("memory");
        }
        let mut list = own.list.lock(family, &patience).expect("nobody else's");
        for name in 0..4 {
            for staged in group(family, name) {
                list.push(staged).expect("memory");
            }
        }
        list.remove(5).expect("memory");
        list.remove(0).expect("memory");
        list.set(3, entry(family, 1, 50));
        while list.len() > 4 {
            list.remove(list.len() - 1).expect("memory");
        }
    }

    /// What must hold at any instant at which nobody changes anything, whoever died before.
    pub(crate) fn check(&self, family: &'static Family) {
        let patience = Patience::forever();
        let map = self.map.lock(family, &patience).expect("not retired");
        let mut count = 0;
        for record in map.records() {
            let (mut identity, mut value) = (Vec::new(), Vec::new());
            record.identity(&mut identity);
            record.value(&mut value);
            assert_eq!(identity, key(identity[0]), "a key is not whole");
            assert!(value.iter().all(|b| *b == identity[0]), "a value is not whole");
            assert!(map.find(&identity).is_some(), "a key that is there is not found");
            count += 1;
        }
        assert_eq!(map.len(), count, "the count is wrong");
        drop(map);
        let list = self.list.lock(family, &patience).expect("not retired");
        let mut items = Vec::new();
        for record in list.records() {
            let mut value = Vec::new();
            record.value(&mut value);
            assert!(value[2..].iter().all(|b| *b == value[1]), "an item is not whole");
            items.push((usize::from(value[0]), value[1]));
        }
        assert_eq!(list.len(), items.len(), "the length is wrong");
        for group in items.chunks(GROUP) {
            let numbers: Vec<usize> = group.iter().map(|item| item.0).collect();
            assert_eq!(numbers, [0, 1, 2], "a group came apart");
            assert!(group.iter().all(|item| item.1 == group[0].1), "a group was mixed");
        }
    }

    /// Something that changes when anything in them does.
    pub(crate) fn state(&self, family: &'static Family) -> (u64, usize, u64, usize) {
        let patience = Patience::forever();
        let map = self.map.lock(family, &patience).expect("not retired");
        let list = self.list.lock(family, &patience).expect("not retired");
        (map.version(), map.len(), list.version(), list.len())
    }
}
