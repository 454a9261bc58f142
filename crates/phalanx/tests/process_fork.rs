//! Children made by forking: their life, their end, and what ends them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use phalanx::process::{Child, ExitStatus, WaitError, fork, passing, wait_readable};
use phalanx::{GaveUp, Patience};

/// Ends the test process if it hangs.
fn watchdog() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(60));
        std::process::abort();
    });
}

fn idle() -> i32 {
    loop {
        std::thread::park();
    }
}

fn wait(child: &Child) -> ExitStatus {
    child.wait(Patience::forever()).expect("the wait should end with a status")
}

#[test]
fn the_code_that_the_body_returns_is_the_status() -> io::Result<()> {
    watchdog();
    for code in [0, 1, 255] {
        let child = fork::run(|| i32::from(code))?;
        assert_ne!(child.pid(), std::process::id());
        assert_eq!(wait(&child), ExitStatus::Code(code));
        assert_eq!(child.try_status()?, Some(ExitStatus::Code(code)), "asking again is allowed");
    }
    Ok(())
}

#[test]
fn a_panic_is_a_status_too() -> io::Result<()> {
    watchdog();
    let child = fork::run(|| std::panic::resume_unwind(Box::new(())))?;
    assert_eq!(wait(&child), ExitStatus::Code(101));
    Ok(())
}

#[test]
fn signals_end_a_child_and_are_its_status() -> io::Result<()> {
    watchdog();
    let child = fork::run(idle)?;
    assert_eq!(child.try_status()?, None);
    child.terminate()?;
    assert_eq!(wait(&child), ExitStatus::Signal(15));
    let child = fork::run(idle)?;
    child.kill()?;
    assert_eq!(wait(&child).as_exitcode(), -9);
    child.kill()?;
    Ok(())
}

#[test]
fn a_wait_keeps_to_its_deadline_and_can_be_given_up() -> io::Result<()> {
    watchdog();
    let child = fork::run(idle)?;
    let soon = Patience::timeout(Some(Duration::from_millis(20)));
    assert!(matches!(child.wait(soon), Err(WaitError::GaveUp(GaveUp::TimedOut))));
    assert!(matches!(child.wait(Patience::none()), Err(WaitError::GaveUp(GaveUp::TimedOut))));
    child.kill()?;
    wait(&child);
    Ok(())
}

#[test]
fn the_sentinel_is_readable_at_the_end_and_not_before() -> io::Result<()> {
    watchdog();
    let child = fork::run(idle)?;
    let now = wait_readable(child.sentinel(), Patience::none());
    assert!(matches!(now, Err(WaitError::GaveUp(GaveUp::TimedOut))));
    child.kill()?;
    assert!(wait_readable(child.sentinel(), Patience::forever()).is_ok());
    wait(&child);
    Ok(())
}

#[test]
fn all_threads_that_wait_get_the_status() -> io::Result<()> {
    watchdog();
    let child = fork::run(idle)?;
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| wait(&child))).collect();
        child.terminate().expect("a child of ours can be signalled");
        for waiter in waiters {
            assert_eq!(waiter.join().ok(), Some(ExitStatus::Signal(15)));
        }
    });
    Ok(())
}

#[test]
fn a_child_that_somebody_else_reaped_has_ended_with_an_unknown_status() -> io::Result<()> {
    watchdog();
    let child = fork::run(|| 3)?;
    phalanx_os::wait::reap_blocking(child.pid())?;
    assert_eq!(wait(&child), ExitStatus::Unknown);
    Ok(())
}

/// Starts a child that collects the descriptor of each ticket it is sent and writes into it; it
/// answers with a byte for each: 1 if that was possible.
fn collector(mut orders: &io::PipeReader, mut answers: &io::PipeWriter) -> io::Result<Child> {
    fork::run(|| {
        let mut ticket = [0; passing::TICKET];
        for _ in 0..2 {
            let done = orders.read_exact(&mut ticket).is_ok()
                && passing::collect(&ticket, Patience::forever())
                    .is_ok_and(|fd| File::from(fd).write_all(b"passed").is_ok());
            let _ = answers.write_all(&[u8::from(done)]);
        }
        0
    })
}

#[test]
fn a_descriptor_is_passed_to_a_running_process_once() -> io::Result<()> {
    watchdog();
    let (orders, mut send) = io::pipe()?;
    let (mut receive, answers) = io::pipe()?;
    let child = collector(&orders, &answers)?;
    let (mut ours, theirs) = io::pipe()?;
    let (tell, told) = std::sync::mpsc::channel();
    let ticket = passing::deposit(theirs.into(), move |slot| tell.send(slot).unwrap_or(()))?;
    send.write_all(&ticket)?;
    send.write_all(&ticket)?;
    let mut done = [0; 2];
    receive.read_exact(&mut done)?;
    assert_eq!(done, [1, 0], "once, and not twice");
    assert_eq!(told.recv().ok(), Some(child.slot()));
    let mut text = String::new();
    ours.read_to_string(&mut text)?;
    assert_eq!(text, "passed", "and nobody else has it open any more");
    wait(&child);
    Ok(())
}

#[test]
fn what_a_dead_process_laid_out_is_gone() -> io::Result<()> {
    watchdog();
    let (mut ours, theirs) = io::pipe()?;
    let sender = fork::run(|| {
        let ticket = io::pipe().and_then(|(_, fd)| passing::deposit(fd.into(), |_| ()));
        // A child of the sender must not keep its desk's name alive.
        let heir = fork::run(idle);
        let sent = ticket.and_then(|ticket| (&theirs).write_all(&ticket));
        if sent.is_ok() && heir.is_ok() { idle() } else { 1 }
    })?;
    let mut ticket = [0; passing::TICKET];
    ours.read_exact(&mut ticket)?;
    sender.kill()?;
    wait(&sender);
    let error = match passing::collect(&ticket, Patience::forever()) {
        Err(WaitError::Io(e)) => e.kind(),
        other => panic!("collected from the dead: {other:?}"),
    };
    assert_eq!(error, io::ErrorKind::ConnectionRefused);
    Ok(())
}

#[test]
fn places_are_given_out_again() -> io::Result<()> {
    watchdog();
    let mut highest = 0;
    for _ in 0..200 {
        let child = fork::run(|| 0)?;
        highest = highest.max(child.slot().raw());
        wait(&child);
    }
    assert!(highest < 64, "200 children, one at a time, took {highest} places");
    Ok(())
}

/// A grandchild must follow its parent when that is killed: it is the last to hold the pipe open.
fn ends_with_its_parent(
    start: fn(&(dyn Fn() -> io::Result<Child> + Sync)) -> bool,
) -> io::Result<()> {
    watchdog();
    let (mut ours, theirs) = io::pipe()?;
    let parent = fork::run(|| {
        let grandchild = || {
            fork::run(|| {
                let _ = (&theirs).write_all(b"x");
                idle()
            })
        };
        if start(&grandchild) { idle() } else { 1 }
    })?;
    drop(theirs);
    let mut byte = [0];
    ours.read_exact(&mut byte)?;
    let more = wait_readable(ours.as_fd(), Patience::timeout(Some(Duration::from_millis(50))));
    assert!(
        matches!(more, Err(WaitError::GaveUp(_))),
        "the grandchild lives while its parent does"
    );
    parent.kill()?;
    assert_eq!(ours.read(&mut byte)?, 0, "the grandchild has ended");
    wait(&parent);
    Ok(())
}

#[test]
fn what_the_main_thread_forked_ends_with_its_parent() -> io::Result<()> {
    ends_with_its_parent(|grandchild| grandchild().is_ok())
}

#[test]
fn what_a_short_lived_thread_forked_ends_with_its_parent_and_not_with_the_thread() -> io::Result<()>
{
    ends_with_its_parent(|grandchild| {
        std::thread::scope(|scope| scope.spawn(|| grandchild().is_ok()).join().unwrap_or(false))
    })
}

/// The parent is killed while the grandchild takes its first steps. Its other threads end after the one that has
/// forked, so that the kernel lets the grandchild go before the parent counts as ended.
#[test]
fn what_was_just_forked_ends_with_a_parent_of_many_threads() -> io::Result<()> {
    watchdog();
    for round in 0..400 {
        let (mut ours, theirs) = io::pipe()?;
        let parent = fork::run(|| {
            for _ in 0..4 {
                std::thread::spawn(idle);
            }
            let _ = (&theirs).write_all(b"x");
            if fork::run(idle).is_ok() { idle() } else { 1 }
        })?;
        drop(theirs);
        let mut byte = [0];
        ours.read_exact(&mut byte)?;
        let moment = Instant::now() + Duration::from_micros(round % 80 * 10);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        parent.kill()?;
        assert_eq!(ours.read(&mut byte)?, 0, "the grandchild has ended");
        wait(&parent);
    }
    Ok(())
}
