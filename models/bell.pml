/* The bell beside a queue: who sleeps on a descriptor is woken, with a death at any step.
 *
 * Abstracts, in crates/phalanx-shm/src/bell/mod.rs and crates/phalanx/src/pipe:
 *   sender    Half::send, then Bell::ring, ring_slow
 *   receiver  End::recv, try_recv, wait_for_message, hush, tidy; Bell::park, settle, settle_stray
 * Left out: WATCHED (a PARKED that stays), units, and the end of file, which is here "nothing more will
 * come"; weak memory, which loom covers.
 *
 * Checked: nobody sleeps for ever while something is queued (spin reports that as an invalid end state). A
 * sleeper's own slice, here `timeout`, is needed only after a sender has died before it had rung, and
 * never for what is sent later. In the end no byte is left and nobody counts as ringing.
 *
 * -DBROKEN=1: a receiver does not look at the queue again once it has said that it sleeps.
 * -DBROKEN=2: a sender does not ring in the place of one that died ringing.
 * -DBROKEN=3: a receiver takes the bell back to rest first, and then removes the byte.
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef EACH
#define EACH 2                  /* messages of each sender */
#endif
#define SENDERS 2               /* 1 and 2; the receivers are 3 and, should that die, 4 */

#define IDLE 0
#define RINGING 1
#define RUNG 2

/* The word: changed by compare-and-swap, so in one atomic step if it is what was read. */
byte state, ringer;
bool parked;

byte put, taken, expected = SENDERS * EACH;
byte wire;                      /* bytes in the socket */
byte unrung;                    /* senders that died before they had rung */
byte since;                     /* messages sent since the last death */
bool dead[6];
byte deaths, over;

#define may_die(label) if :: skip :: deaths < DEATHS && me != 4 -> goto label fi
#define at_rest (state == IDLE && !parked)
#define ringer_is_dead (state == RINGING && ringer != me && dead[ringer])

proctype sender(byte me) {
    byte n;
    do
    :: n < EACH ->
        atomic { put++; n++; since++ };
        may_die(died_unrung);
        /* One look and, if it says so, a compare-and-swap that succeeds only on what was seen. */
        if
        :: atomic { state == IDLE && parked -> state = RINGING; ringer = me; parked = false }; goto claimed
#if BROKEN != 2
        :: atomic { ringer_is_dead -> state = RINGING; ringer = me; parked = false }; goto claimed
        :: atomic { !(state == IDLE && parked) && !ringer_is_dead -> skip }
#else
        :: atomic { !(state == IDLE && parked) -> skip }
#endif
        fi;
        goto rung;
    claimed:
        may_die(died_unrung);
        wire++;
        may_die(died);
        atomic { assert(state == RINGING && ringer == me); state = RUNG };
    rung:
        may_die(died)
    :: else -> break
    od;
    goto done;
died_unrung:
    unrung++;
died:
    atomic { dead[me] = true; deaths++; since = 0; expected = expected - (EACH - n) };
done:
    atomic { n = 0; over++ }
}

/* Takes the byte out, alone, and goes back to rest: if one lies there or might, or the ringer died. */
inline settle(is_due) {
    if
#if BROKEN == 3
    :: atomic { (is_due) || ringer_is_dead -> state = IDLE; ringer = 0 };
        may_die(died);
        wire = 0;
#else
    :: atomic { (is_due) || ringer_is_dead -> state = RINGING; ringer = me };
        may_die(died);
        wire = 0;
        may_die(died);
        atomic { assert(state == RINGING && ringer == me); state = IDLE; ringer = 0 };
#endif
        may_die(died)
    :: atomic { !((is_due) || ringer_is_dead) -> skip }
    fi
}

inline tidy() {
    if :: put == taken -> settle(state == RUNG) :: else fi
}

proctype receiver(byte me) {
    do
    :: taken < expected ->
        if
        :: atomic { put > taken -> taken++ };
            may_die(died);
            if :: at_rest -> skip :: else -> tidy() fi
        :: put == taken ->
            if :: at_rest -> skip :: else -> tidy() fi;
            parked = true;
            may_die(died);
#if BROKEN != 1
            if
            :: put > taken -> goto again
            :: else
            fi;
#endif
            if
            :: wire > 0 ->
                if
                :: put > taken -> skip
                :: else ->
                    settle(state != RINGING);
                    tidy()
                fi
            :: atomic { taken == expected -> skip }
            /* The end of a slice: everybody else waits, or has ended. */
            :: atomic { timeout && unrung > 0 && put > taken -> assert(since == 0) }
            fi
        fi;
    again:
        skip
    :: else -> break
    od;
    goto done;
died:
    atomic { dead[me] = true; deaths++; assert(me == 3); run receiver(4) };
    goto gone;
done:
    /* All senders have ended: a last look puts everything to rest. */
    over == SENDERS;
    atomic {
        assert(put == taken);
        if :: state == RUNG || ringer_is_dead -> state = IDLE; wire = 0 :: else fi;
        if :: state == IDLE -> wire = 0 :: else fi;
        assert(state == IDLE && wire == 0)
    };
gone:
    skip
}

init {
    atomic { run sender(1); run sender(2); run receiver(3) }
}
