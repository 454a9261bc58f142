/* The lock that any process may release, with a death at any step, and the sweep.
 *
 * Abstracts, in crates/phalanx-shm/src/words:
 *   worker    LockWord::acquire, take, acquire_slow, announce, release, release_slow (lock.rs)
 *   sweeper   LockWord::on_death (lock.rs), bury (holder.rs) with Policy::Raise
 *   sleeping  the futex: who sleeps does so on the value of the word that it has seen
 * Left out: STARVING (who may barge), time limits, the slices by which sleepers look by themselves (so
 * that what is checked holds without them), and weak memory, which loom covers.
 *
 * Each worker may die between any two steps, the sweeper at any of its own: then another begins again. A
 * stranger releases the lock once, whoever holds it.
 *
 * Checked: no more hold the lock at a time than strangers' releases allow; nobody sleeps for ever (spin
 * reports that as an invalid end state); a death in the midst is told to exactly one of the next holders.
 *
 * -DBROKEN=1: the sweep wakes nobody if the dead process was not the holder.
 * -DBROKEN=2: who has slept takes the lock without the flag that others may sleep.
 * -DBROKEN=3: a release clears the word by a plain store, whoever holds it by then.
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#define WORKERS 3                       /* 1..3; 4 is the stranger */
#define FREE 0
#define DIED 9

/* The word: changed by compare-and-swap, so in one atomic step if it is what was read. */
byte holder;
bool waiters;

bool asleep[6], dead[10];
byte inside;                            /* who believe that they hold the lock */
byte foreign;                           /* releases of what another held */
byte told, owed;                        /* deaths that next holders heard of; deaths to be told */
byte deaths, over, strangers;

#define may_die if :: skip :: deaths < DEATHS -> goto died fi

inline wake_one() {
    atomic {
        if
        :: asleep[1] -> asleep[1] = false
        :: asleep[2] -> asleep[2] = false
        :: asleep[3] -> asleep[3] = false
        :: else
        fi
    }
}

inline wake_all() {
    atomic { asleep[1] = false; asleep[2] = false; asleep[3] = false }
}

inline note_taken() {
    if :: holder == DIED -> told++ :: else fi;
    holder = me;
    inside++;
    assert(inside <= 1 + foreign)
}

/* The holder is replaced by nobody, flag and all. If it is dead, it is as if it had released: nobody is told. */
inline free_it() {
    had_waiters = waiters;
    if
    :: holder == DIED -> owed--
    :: holder != DIED && dead[holder] -> owed--
    :: holder != DIED && !dead[holder] && holder != me -> foreign++
    :: else
    fi;
    holder = FREE;
    waiters = false
}

proctype worker(byte me) {
    bool has_slept, had_waiters;
    byte seen;
    /* acquire: at once if it is free and nobody waits */
    if
    :: atomic { holder == FREE && !waiters -> note_taken() }; goto held
    :: atomic { !(holder == FREE && !waiters) -> skip }
    fi;
    do
    ::  may_die;
        if
        :: atomic { holder == FREE || holder == DIED ->
#if BROKEN == 2
            note_taken(); waiters = false };
#else
            note_taken(); waiters = waiters || has_slept };
#endif
            break
        :: atomic { holder != FREE && holder != DIED -> seen = holder };
            may_die;
            /* announce: only if the word is what was seen; then sleep, if it still is */
            if
            :: atomic { holder == seen -> waiters = true };
                may_die;
                if
                :: atomic { holder == seen && waiters -> asleep[me] = true };
                    atomic { !asleep[me] -> has_slept = true }
                :: atomic { !(holder == seen && waiters) -> has_slept = true }
                fi
            :: atomic { holder != seen -> skip }
            fi
        fi
    od;
held:
    if
    :: skip
    :: deaths < DEATHS ->
        /* It dies holding the lock, unless a stranger has released it. */
        atomic {
            if :: holder == me -> owed++ :: else fi;
            inside--;
            dead[me] = true;
            deaths++;
            seen = 0;
            goto done
        }
    fi;
    /* release; somebody else may have done it meanwhile, and another may hold it now */
#if BROKEN == 3
    had_waiters = waiters;
    atomic { inside--; holder = FREE; waiters = false };
    if :: had_waiters -> wake_one() :: else fi;
#else
    if
    :: atomic { holder != FREE -> inside--; free_it() };
        may_die;
        if :: had_waiters -> wake_one() :: else fi
    :: atomic { holder == FREE -> inside-- }
    fi;
#endif
    atomic { over++; seen = 0; goto done };
died:
    atomic { dead[me] = true; deaths++; seen = 0 };
done:
    skip
}

proctype stranger(byte me) {
    bool had_waiters;
    if
    :: atomic { holder != FREE -> free_it() };
        if :: had_waiters -> wake_one() :: else fi
    :: skip
    fi;
    atomic { had_waiters = false; strangers++ }
}

#define sweeper_may_die if :: skip :: again < 1 -> again++; goto sweep fi

active proctype sweeper() {
    byte d, again;
    bool was_holder;
    do
    :: atomic { dead[1] -> d = 1 }; goto sweep
    :: atomic { dead[2] -> d = 2 }; goto sweep
    :: atomic { dead[3] -> d = 3 }; goto sweep
    :: atomic { over == WORKERS && strangers == 1 -> break };
    continue:
        again = 0
    od;
    goto all_over;
sweep:
    atomic {
        was_holder = (holder == d);
        if :: holder == d -> holder = DIED :: else fi
    };
    sweeper_may_die;
#if BROKEN == 1
    if :: was_holder -> wake_all() :: else fi;
#else
    wake_all();
#endif
    sweeper_may_die;
    atomic { dead[d] = false; over++; d = 0; was_holder = false; goto continue };
all_over:
    /* A death was told, or will be to the next. */
    assert(told + (holder == DIED -> 1 : 0) == owed);
    assert(inside == 0 && (holder == FREE || holder == DIED))
}

init {
    atomic { run worker(1); run worker(2); run worker(3); run stranger(4) }
}
