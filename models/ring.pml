/* The ring with payloads, a death at any step, and the sweep.
 *
 * Abstracts, in crates/phalanx-shm/src:
 *   produce   Ring::put, Ring::append (ring/put.rs) with Record::Payload
 *   consume   Ring::remove, Ring::remove_from (ring/take.rs)
 *   sweep     Ring::repair, settle_put, settle_get (ring/repair.rs), then Arena::free_owned_by, as
 *             sweep::clean_up orders them
 *   chunks    ChunkWord (chunk_word.rs): FREE, OWNED by a process, PART of the ring
 * Left out: segments that grow, waiting for room, inline records (a payload is an inline record whose
 * chunk has to change hands besides), and weak memory, which loom covers.
 *
 * Each process may die between any two writes. The sweeper may die too; then another sweeps again from
 * the beginning. Checked: no record is lost but in the hands of a consumer that died, none arrives
 * twice or damaged, no chunk has two owners or none, nobody waits for ever (spin reports that as an
 * invalid end state), and a second sweep changes nothing.
 *
 * -DBROKEN=1: the sweep does not look whether an intended record was published.
 * -DBROKEN=2: the sweep frees what the dead owned before it settles intents.
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#define PRODUCERS 2
#define CONSUMERS 2
#ifndef EACH
#define EACH 1                          /* records of each producer */
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#define RECORDS (PRODUCERS * EACH)
#define CHUNKS RECORDS
#define NOBODY 0
#define PROCESSES 5                     /* 1, 2: producers; 3, 4: consumers */
#define NONE 0

#define FREE 0
#define PART 1
#define OWNED 10                        /* + the owner */

byte put_lock, get_lock;
byte tail, head;                        /* records ever put and taken */
byte slots[RECORDS];                    /* which chunk a record names */
byte put_intent, put_mark, get_intent, get_mark;
byte chunk[CHUNKS + 1];
byte content[CHUNKS + 1];               /* the record written into a chunk, + 1 */

bool dead[PROCESSES];                   /* has died and was not swept yet */
byte over;                              /* processes that have ended, or were swept */
byte received[RECORDS + 1];             /* how often each record came out */
bool published[RECORDS + 1];
byte lost;                              /* records in the hands of dead consumers */
byte deaths;

#define may_die if :: skip :: deaths < DEATHS -> goto died fi
#define may_die_with_it if :: skip :: deaths < DEATHS -> goto died_with_it fi

inline allocate(c) {
    atomic {
        c = 1;
        do
        :: c <= CHUNKS && chunk[c] != FREE -> c++
        :: else -> break
        od;
        assert(c <= CHUNKS);
        chunk[c] = OWNED + me
    }
}

proctype producer(byte me) {
    byte n, c, record;
    n = 0;
    do
    :: n < EACH ->
        record = (me - 1) * EACH + n + 1;
        allocate(c);
        content[c] = record;
        may_die;
        atomic { put_lock == NOBODY -> put_lock = me };
        may_die;
        put_mark = tail;
        put_intent = c;
        may_die;
        assert(chunk[c] == OWNED + me);
        chunk[c] = PART;
        may_die;
        slots[tail] = c;
        may_die;
        atomic { published[record] = true; tail++ };
        may_die;
        put_intent = NONE;
        may_die;
        put_lock = NOBODY;
        n++
    :: else -> break
    od;
    atomic { over++; c = 0; goto done };
died:
    atomic { deaths++; dead[me] = true };
done:
    skip
}

proctype consumer(byte me) {
    byte c, record;
    do
    :: atomic { get_lock == NOBODY && head < tail -> get_lock = me };
        may_die;
        c = slots[head];
        record = content[c];
        get_mark = head;
        get_intent = c;
        may_die;
        head++;
        may_die_with_it;
        assert(chunk[c] == PART);
        chunk[c] = OWNED + me;
        may_die_with_it;
        get_intent = NONE;
        may_die_with_it;
        get_lock = NOBODY;
        may_die_with_it;
        assert(content[c] == record);
        atomic { received[record]++; assert(received[record] == 1) };
        assert(chunk[c] == OWNED + me);
        chunk[c] = FREE;
        may_die
    :: atomic { over >= PRODUCERS && head == tail && get_lock == NOBODY -> break }
    od;
    atomic { over++; c = 0; record = 0; goto done };
died_with_it:
    lost++;
died:
    atomic { deaths++; dead[me] = true; c = 0; record = 0 };
done:
    skip
}

inline free_owned(d) {
    atomic {
        c = 1;
        do
        :: c <= CHUNKS ->
            if :: chunk[c] == OWNED + d -> chunk[c] = FREE :: else fi;
            c++
        :: else -> break
        od;
        c = 0
    }
}

#define sweeper_may_die if :: skip :: again < 1 -> again++; goto sweep fi

/* One sweeper after another: the housekeeping lock lets one in at a time. */
active proctype sweeper() {
    byte d, c, again;
    do
    :: atomic { dead[1] -> d = 1 }; goto sweep
    :: atomic { dead[2] -> d = 2 }; goto sweep
    :: atomic { dead[3] -> d = 3 }; goto sweep
    :: atomic { dead[4] -> d = 4 }; goto sweep
    :: atomic { over == PRODUCERS + CONSUMERS -> break };
    continue:
        again = 0
    od;
    goto all_over;
sweep:
#if BROKEN == 2
    free_owned(d);
#endif
    if
    :: put_lock == d ->
        if
        :: put_intent != NONE ->
#if BROKEN == 1
            if :: chunk[put_intent] == PART -> chunk[put_intent] = OWNED + d :: else fi;
#else
            if
            :: tail == put_mark && chunk[put_intent] == PART -> chunk[put_intent] = OWNED + d
            :: else
            fi;
#endif
            sweeper_may_die;
            put_intent = NONE
        :: else
        fi;
        sweeper_may_die;
        put_lock = NOBODY
    :: else
    fi;
    sweeper_may_die;
    if
    :: get_lock == d ->
        if
        :: get_intent != NONE ->
            if
            :: head != get_mark && chunk[get_intent] == PART -> chunk[get_intent] = OWNED + d
            :: else
            fi;
            sweeper_may_die;
            get_intent = NONE
        :: else
        fi;
        sweeper_may_die;
        get_lock = NOBODY
    :: else
    fi;
    sweeper_may_die;
#if BROKEN != 2
    free_owned(d);
#endif
    sweeper_may_die;
    atomic { dead[d] = false; over++; d = 0; goto continue };

all_over:
    /* All have ended and were swept. What is in the ring is there whole; all else is free. */
    atomic {
        assert(put_lock == NOBODY && get_lock == NOBODY);
        assert(put_intent == NONE && get_intent == NONE);
        d = head;
        do
        :: d < tail ->
            assert(chunk[slots[d]] == PART);
            received[content[slots[d]]]++;
            chunk[slots[d]] = FREE;
            d++
        :: else -> break
        od;
        c = 1;
        do
        :: c <= CHUNKS -> assert(chunk[c] == FREE); c++
        :: else -> break
        od;
        d = 1; c = 0;
        do
        :: d <= RECORDS ->
            assert(received[d] <= 1 && (received[d] == 0 || published[d]));
            if :: published[d] && received[d] == 0 -> c++ :: else fi;
            d++
        :: else -> break
        od;
        assert(c == lost)
    }
}

init {
    atomic {
        run producer(1); run producer(2);
        run consumer(3); run consumer(4)
    }
}
