//! Dictionaries, lists and values between processes: in shared memory, and served to strangers.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use phalanx::manager::{AccessError, Dict, List, Manager};
use phalanx::process::{Process, StartMethod};

mod support;
use support::alone;

/// What a process of another family runs: this very program, told so by its environment.
const ADDRESS: &str = "PHALANX_TEST_MANAGER";

#[phalanx::task]
fn fill((dict, list, number): (Dict<String, u64>, List<u64>, u64)) -> usize {
    for n in 0..300 {
        dict.update(&"count".to_owned(), |count| Some(count.unwrap_or(0) + 1)).unwrap();
        dict.insert(&format!("{number}/{n}"), &n).unwrap();
        list.push(&(number * 1000 + n)).unwrap();
    }
    list.len().unwrap()
}

#[test]
fn children_fill_what_they_were_given() {
    let _alone = alone();
    let (dict, list) = (Dict::new().unwrap(), List::new().unwrap());
    let start = |number| {
        let argument = (dict.clone(), list.clone(), number);
        Process::builder().method(StartMethod::Fork).start(fill::task(), argument).unwrap()
    };
    let children: Vec<_> = (0..3).map(start).collect();
    for child in children {
        assert!(child.join().unwrap() >= 300);
    }
    assert_eq!(dict.get(&"count".to_owned()).unwrap(), Some(900));
    assert_eq!(dict.len().unwrap(), 901);
    list.sort_by_key(|n| std::cmp::Reverse(*n)).unwrap();
    let items = list.to_vec().unwrap();
    assert_eq!(items.len(), 900);
    assert!(items.is_sorted_by(|a, b| a > b));
}

#[test]
fn a_dictionary_does_what_its_methods_say() {
    let dict: Dict<u32, String> = Dict::new().unwrap();
    assert!(dict.insert(&1, &"one".to_owned()).unwrap());
    assert!(!dict.insert(&1, &"uno".to_owned()).unwrap());
    dict.extend([(2, "two".to_owned()), (3, "three".to_owned())]).unwrap();
    assert_eq!(dict.keys().unwrap(), [1, 2, 3]);
    assert_eq!(dict.values().unwrap(), ["uno", "two", "three"]);
    assert_eq!(dict.get_or_insert_with(&4, || "four".to_owned()).unwrap(), "four");
    assert_eq!(dict.get_or_insert_with(&4, || unreachable!()).unwrap(), "four");
    assert_eq!(dict.pop_last().unwrap(), Some((4, "four".to_owned())));
    assert_eq!(dict.remove(&2).unwrap(), Some("two".to_owned()));
    assert_eq!(dict.remove(&2).unwrap(), None);
    dict.update(&1, |_| None).unwrap();
    assert!(!dict.contains_key(&1).unwrap() && dict.contains_key(&3).unwrap());
    dict.clear().unwrap();
    assert!(dict.is_empty().unwrap());
    assert_eq!(dict.pop_last().unwrap(), None);
}

#[test]
fn a_list_does_what_its_methods_say() {
    let list: List<String> = List::new().unwrap();
    list.extend(["b", "c", "d"].map(str::to_owned)).unwrap();
    list.insert(0, &"a".to_owned()).unwrap();
    list.insert(99, &"e".to_owned()).unwrap();
    assert!(list.set(1, &"B".to_owned()).unwrap() && !list.set(9, &"x".to_owned()).unwrap());
    assert!(list.update(2, |text| text + "!").unwrap());
    list.reverse().unwrap();
    assert_eq!(list.to_vec().unwrap(), ["e", "d", "c!", "B", "a"]);
    assert_eq!(list.pop().unwrap().as_deref(), Some("a"));
    assert_eq!(list.remove(1).unwrap().as_deref(), Some("d"));
    assert_eq!(list.remove(9).unwrap(), None);
    assert_eq!(list.get(0).unwrap().as_deref(), Some("e"));
    assert_eq!(list.get(5).unwrap(), None);
    list.clear().unwrap();
    assert_eq!((list.pop().unwrap(), list.is_empty().unwrap()), (None, true));
}

#[test]
fn what_does_not_decode_is_an_error_that_gives_the_bytes() {
    let numbers: Dict<u8, u64> = Dict::new().unwrap();
    numbers.insert(&1, &300).unwrap();
    let texts: Dict<u8, String> = Dict::from(numbers.raw().unwrap().clone());
    match texts.get(&1) {
        Err(AccessError::Decode(why)) => assert_eq!(why.into_bytes(), [0xac, 0x02]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manager_gives_its_family_what_it_keeps_in_their_own_hands() {
    let _alone = alone();
    let manager = Manager::start().unwrap();
    let stock = manager.dict::<String, u32>("stock").unwrap();
    assert!(stock.raw().is_some(), "it lies in shared memory");
    stock.insert(&"apples".to_owned(), &5).unwrap();
    let address = manager.address();
    let child = Process::fork(move || {
        let manager = Manager::connect(&address).unwrap();
        let stock = manager.dict::<String, u32>("stock").unwrap();
        stock.update(&"apples".to_owned(), |count| count.map(|count| count + 1)).unwrap();
        manager.list::<u8>("list").unwrap().push(&7).unwrap();
        manager.value("value", 1u8).unwrap().update(|value| value + 1).unwrap();
        stock.raw().is_some()
    });
    assert!(child.unwrap().join().unwrap());
    assert_eq!(stock.get(&"apples".to_owned()).unwrap(), Some(6));
    assert_eq!(manager.list::<u8>("list").unwrap().to_vec().unwrap(), [7]);
    assert_eq!(manager.value("value", 9u8).unwrap().get().unwrap(), 2);
    assert_eq!(manager.names().unwrap(), ["list", "stock", "value"]);
    assert!(matches!(manager.list::<u8>("stock"), Err(AccessError::Refused(_))));
    assert!(manager.forget("stock").unwrap() && !manager.forget("stock").unwrap());
    assert!(manager.dict::<String, u32>("stock").unwrap().is_empty().unwrap());
    assert_eq!(stock.len().unwrap(), 1, "who had it keeps it");
    manager.stop().unwrap();
    while manager.names().is_ok() {}
    assert!(matches!(manager.names(), Err(AccessError::Disconnected(_))));
    assert_eq!(stock.len().unwrap(), 1, "also after the manager's end");
}

#[test]
fn who_has_been_stopped_answers_nobody() {
    let _alone = alone();
    for _ in 0..100 {
        let manager = Manager::start().unwrap();
        // A line that is open already: what comes by it must not be answered together with the stop.
        assert!(manager.names().unwrap().is_empty());
        manager.stop().unwrap();
        assert!(matches!(manager.names(), Err(AccessError::Disconnected(_))));
    }
}

/// Runs [`as_a_stranger`] in a process that is no relative.
fn stranger(manager: &Manager) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["as_a_stranger", "--exact", "--nocapture"]);
    command.env(ADDRESS, manager.address()).stdout(Stdio::null());
    command
}

#[test]
fn as_a_stranger() {
    // Without an address it is not a stranger's turn: the tests that start it are below.
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let manager = Manager::connect(&address).unwrap();
    let stock = manager.dict::<String, u32>("stock").unwrap();
    assert!(stock.raw().is_none(), "each operation is served");
    for _ in 0..50 {
        stock.update(&"apples".to_owned(), |count| Some(count.unwrap_or(0) + 1)).unwrap();
    }
    stock.extend([("a".to_owned(), 1), ("b".to_owned(), 2)]).unwrap();
    assert_eq!(stock.remove(&"a".to_owned()).unwrap(), Some(1));
    let list = manager.list::<Vec<u8>>("list").unwrap();
    list.extend((0..10).rev().map(|n| vec![n; 100_000])).unwrap();
    list.sort_by_key(|item| item[0]).unwrap();
    assert_eq!(list.get(3).unwrap().map(|item| item.len()), Some(100_000));
    assert!(matches!(manager.stop(), Err(AccessError::Refused(_))), "only relatives stop it");
    assert!(manager.names().is_ok());
    manager.value("value", 5u8).unwrap().set(&6).unwrap();
}

#[test]
fn strangers_are_served() {
    let _alone = alone();
    let manager = Manager::start().unwrap();
    let mut two = [stranger(&manager).spawn().unwrap(), stranger(&manager).spawn().unwrap()];
    for stranger in &mut two {
        assert!(stranger.wait().unwrap().success());
    }
    let stock = manager.dict::<String, u32>("stock").unwrap();
    assert_eq!(stock.get(&"apples".to_owned()).unwrap(), Some(100));
    assert_eq!(manager.list::<Vec<u8>>("list").unwrap().len().unwrap(), 20);
    assert_eq!(manager.value("value", 0u8).unwrap().get().unwrap(), 6);
    manager.stop().unwrap();
}

fn socket(manager: &Manager) -> UnixStream {
    let name = SocketAddr::from_abstract_name(manager.address()).unwrap();
    let socket = UnixStream::connect_addr(&name).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

#[test]
fn who_misbehaves_delays_nobody() {
    let _alone = alone();
    let manager = Manager::start().unwrap();
    // Half a message, then silence.
    let mut stalled = socket(&manager);
    stalled.write_all(&[0, 0, 0]).unwrap();
    let mut garbage = socket(&manager);
    garbage.write_all(&[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]).unwrap();
    let mut oversized = socket(&manager);
    oversized.write_all(&[0x7f, 0xff, 0xff, 0xff]).unwrap();
    let mut known = socket(&manager);
    known.write_all(&[0, 0, 0, 2, 1, 0]).unwrap();
    let mut welcome = [0; 5];
    known.read_exact(&mut welcome).unwrap();
    known.write_all(&[0, 0, 0, 3, 77, 77, 77]).unwrap();
    let dict = manager.dict::<u8, u8>("dict").unwrap();
    dict.insert(&1, &2).unwrap();
    assert_eq!(manager.names().unwrap(), ["dict"]);
    for mut gone in [garbage, oversized, known] {
        let mut rest = Vec::new();
        // Closed by the manager, perhaps with a word before.
        let _ = gone.read_to_end(&mut rest);
        assert!(rest.len() < 200);
    }
    manager.stop().unwrap();
    drop(stalled);
}

/// In a child, which has one thread.
fn become_nobody() {
    let nobody = rustix::thread::Uid::from_raw(65534);
    rustix::thread::set_thread_uid(nobody).expect("the superuser may");
}

#[test]
fn other_users_are_turned_away() {
    let _alone = alone();
    // Only the superuser can become somebody else to try it.
    if phalanx_os::proc::effective_user() != 0 {
        return;
    }
    let manager = Manager::start().unwrap();
    let address = manager.address();
    let child = Process::fork(move || {
        become_nobody();
        Manager::connect(&address).map(drop).map_err(|why| why.to_string())
    });
    let refused = child.unwrap().join().unwrap().unwrap_err();
    assert!(refused.contains("another user"), "{refused}");
    let address = manager.address();
    let child = Process::fork(move || {
        let name = SocketAddr::from_abstract_name(address).unwrap();
        become_nobody();
        let mut socket = UnixStream::connect_addr(&name).unwrap();
        let _ = socket.write_all(&[0, 0, 0, 2, 1, 0]);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        answer.len()
    });
    assert_eq!(child.unwrap().join().unwrap(), 0, "not a word to another user");
    manager.stop().unwrap();
}

#[test]
fn a_killed_manager_is_an_error_and_no_wait() {
    let _alone = alone();
    let manager = Manager::start().unwrap();
    let dict = manager.dict::<u8, u8>("dict").unwrap();
    dict.insert(&1, &2).unwrap();
    let pid = manager.pid().unwrap();
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    while manager.names().is_ok() {}
    assert!(matches!(manager.dict::<u8, u8>("dict"), Err(AccessError::Disconnected(_))));
    assert_eq!(dict.get(&1).unwrap(), Some(2), "what is in shared memory stays");
}
